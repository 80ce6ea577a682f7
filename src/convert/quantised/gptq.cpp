#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "convert/quantised/dequantised_matrix.hpp"
#include "convert/quantised/quantisation.hpp"
#include "gridmill/base/format.hpp"

// GPTQ, as AutoGPTQ and GPTQModel write it. A weight (out, in) is stored transposed:
//   qweight  I32 [in * bits / 32, out]        codes along `in`, the lowest bits of a word first
//   qzeros   I32 [groups, out * bits / 32]    zeros along `out`
//   scales   F16 [groups, out]
//   g_idx    I32 [in]                         the group of each input; else input / group_size
// value = scales[g, o] * (code - zero). Format "gptq" stores zero - 1 (modulo 2^bits), "gptq_v2"
// the zero. Source: QuantLinear of auto_gptq 0.7.1 (qlinear_cuda_old.py) and its pack().
namespace gridmill::convert_detail {

namespace {

struct GptqForm {
  std::int64_t bits = 4;
  std::int64_t group_size = -1;  ///< -1: one group
  bool zeros_less_one = true;
};

class GptqMatrix final : public DequantisedMatrix {
 public:
  GptqMatrix(std::string name, const GptqForm& form, ForeignTensors& tensors,
             const std::string& base)
      : GptqMatrix(std::move(name), form, part_of(tensors, base + ".qweight", "I32", 2)) {
    const std::int64_t group_size = form.group_size > 0 ? form.group_size : columns();
    if (columns() % group_size != 0) {
      fail_tensor(codes_, fmt::format("has {} inputs, which groups of {} do not divide", columns(),
                                      group_size));
    }
    const std::int64_t groups = columns() / group_size;
    if (rows() % per_word_ != 0) {
      fail_tensor(codes_, fmt::format("has {} outputs, which words of {} codes do not divide",
                                      rows(), per_word_));
    }
    zeros_ = &part_of(tensors, base + ".qzeros", "I32", {groups, rows() / per_word_});
    scales_ = &part_of(tensors, base + ".scales", "float", {groups, rows()});
    if (tensors.contains(base + ".g_idx")) {
      order_ = &part_of(tensors, base + ".g_idx", "I32", Extents{columns()});
    }
    for (std::int64_t input = 0; input < columns(); ++input) {
      groups_.push_back(static_cast<std::int32_t>(input / group_size));
    }
  }

 protected:
  void read_rows(std::int64_t first, std::span<float> out) const override {
    const std::int64_t count = static_cast<std::int64_t>(out.size()) / columns();
    const std::vector<std::int32_t> groups = group_of_inputs();
    const std::vector<float> scales = scales_of(first, count);
    const std::vector<float> zeros = zeros_of(first, count);
    std::vector<std::uint32_t> words(static_cast<std::size_t>(count));
    for (std::int64_t input = 0; input < columns(); input += per_word_) {
      read_words(codes_, input / per_word_ * rows() + first, words);
      for (std::int64_t row = 0; row < count; ++row) {
        const std::uint32_t word = words[static_cast<std::size_t>(row)];
        for (std::int64_t i = 0; i < per_word_; ++i) {
          const auto code = static_cast<float>((word >> (i * form_.bits)) & mask_);
          const auto at =
              static_cast<std::size_t>(groups[static_cast<std::size_t>(input + i)] * count + row);
          out[static_cast<std::size_t>(row * columns() + input + i)] =
              scales[at] * (code - zeros[at]);
        }
      }
    }
  }

 private:
  GptqMatrix(std::string name, const GptqForm& form, const ForeignTensor& codes)
      : DequantisedMatrix(std::move(name), codes.file(), codes.shape()[1],
                          codes.shape()[0] * 32 / form.bits, fmt::format("gptq{}", form.bits)),
        form_(form),
        per_word_(32 / form.bits),
        mask_((1U << form.bits) - 1U),
        codes_(codes) {}

  [[nodiscard]] std::vector<std::int32_t> group_of_inputs() const {
    if (order_ == nullptr) return groups_;
    std::vector<std::int32_t> order(groups_.size());
    read_stored(*order_, 0, std::as_writable_bytes(std::span(order)));
    for (const std::int32_t group : order) {
      if (group < 0 || group >= scales_->shape()[0]) {
        fail_tensor(*order_,
                    fmt::format("holds group {}, but there are {}", group, scales_->shape()[0]));
      }
    }
    return order;
  }
  /// [groups, count]
  [[nodiscard]] std::vector<float> scales_of(std::int64_t first, std::int64_t count) const {
    const std::int64_t groups = scales_->shape()[0];
    std::vector<float> scales(static_cast<std::size_t>(groups * count));
    for (std::int64_t group = 0; group < groups; ++group) {
      read_scales(*scales_, group * rows() + first,
                  std::span(scales).subspan(static_cast<std::size_t>(group * count),
                                            static_cast<std::size_t>(count)));
    }
    return scales;
  }
  /// [groups, count]
  [[nodiscard]] std::vector<float> zeros_of(std::int64_t first, std::int64_t count) const {
    const std::int64_t groups = scales_->shape()[0];
    const std::int64_t words_a_group = rows() / per_word_;
    const std::int64_t first_word = first / per_word_;
    std::vector<std::uint32_t> words(
        static_cast<std::size_t>((first + count - 1) / per_word_ - first_word + 1));
    std::vector<float> zeros;
    zeros.reserve(static_cast<std::size_t>(groups * count));
    for (std::int64_t group = 0; group < groups; ++group) {
      read_words(*zeros_, group * words_a_group + first_word, words);
      for (std::int64_t row = first; row < first + count; ++row) {
        const std::uint32_t word = words[static_cast<std::size_t>(row / per_word_ - first_word)];
        const std::uint32_t stored = word >> (row % per_word_ * form_.bits);
        zeros.push_back(static_cast<float>((stored + (form_.zeros_less_one ? 1U : 0U)) & mask_));
      }
    }
    return zeros;
  }

  GptqForm form_;
  std::int64_t per_word_;
  std::uint32_t mask_;
  const ForeignTensor& codes_;
  const ForeignTensor* zeros_ = nullptr;
  const ForeignTensor* scales_ = nullptr;
  const ForeignTensor* order_ = nullptr;
  std::vector<std::int32_t> groups_;
};

}  // namespace

Quantisation read_gptq(ConfigFields& fields) {
  GptqForm form{.bits = fields.size("bits"), .group_size = fields.integer("group_size", 128)};
  if (form.bits != 2 && form.bits != 4 && form.bits != 8) {
    fields.fail("bits", fmt::format("is {}, which is unsupported; expected 2, 4 or 8", form.bits));
  }
  if (form.group_size == 0 || form.group_size < -1) {
    fields.fail("group_size", fmt::format("is {}, expected -1 or a size", form.group_size));
  }
  const std::string format = fields.text("checkpoint_format", "gptq");
  if (format != "gptq" && format != "gptq_v2") {
    fields.fail("checkpoint_format",
                "is \"" + format + "\", which is unsupported; expected gptq or gptq_v2");
  }
  form.zeros_less_one = format == "gptq";
  fields.refuse({"dynamic", "is_marlin_format"});  // other bits in some layers, another order
  return {.name = fmt::format("{} of {} bits", format, form.bits),
          .expand = [form](ForeignTensors& tensors) {
            return for_each_weight(bases_of(tensors, ".qweight"), [&](const std::string& base) {
              tensors.add(std::make_unique<GptqMatrix>(base + ".weight", form, tensors, base));
            });
          }};
}

}  // namespace gridmill::convert_detail
