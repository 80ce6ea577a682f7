#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "convert/quantised/dequantised_matrix.hpp"
#include "convert/quantised/quantisation.hpp"
#include "gridmill/base/format.hpp"

// AWQ in its "gemm" form. A weight (out, in) is stored transposed, four bits a code:
//   qweight  I32 [in, out / 8]         qzeros  I32 [groups, out / 8]        scales  F16 [groups,
//   out]
// The eight outputs of a word lie at nibbles 0, 4, 1, 5, 2, 6, 3, 7 (the lowest first).
// value = (code - zero) * scale. Source: packing_utils.py of autoawq 0.2.9.
namespace gridmill::convert_detail {

namespace {

constexpr std::int64_t kPerWord = 8;
constexpr std::array<unsigned, kPerWord> kShifts = {0, 16, 4, 20, 8, 24, 12, 28};

class AwqMatrix final : public DequantisedMatrix {
 public:
  AwqMatrix(std::string name, std::int64_t group_size, ForeignTensors& tensors,
            const std::string& base)
      : AwqMatrix(std::move(name), part_of(tensors, base + ".qweight", "I32", 2)) {
    group_size_ = group_size > 0 ? group_size : columns();
    if (columns() % group_size_ != 0) {
      fail_tensor(codes_, fmt::format("has {} inputs, which groups of {} do not divide", columns(),
                                      group_size_));
    }
    const std::int64_t groups = columns() / group_size_;
    zeros_ = &part_of(tensors, base + ".qzeros", "I32", {groups, rows() / kPerWord});
    scales_ = &part_of(tensors, base + ".scales", "float", {groups, rows()});
  }

 protected:
  void read_rows(std::int64_t first, std::span<float> out) const override {
    const std::int64_t count = static_cast<std::int64_t>(out.size()) / columns();
    std::vector<float> scales(static_cast<std::size_t>(count));
    std::vector<float> zeros(scales.size());
    std::vector<float> codes(scales.size());
    for (std::int64_t input = 0; input < columns(); ++input) {
      if (input % group_size_ == 0) {
        const std::int64_t group = input / group_size_;
        read_scales(*scales_, group * rows() + first, scales);
        unpack(*zeros_, group, first, zeros);
      }
      unpack(codes_, input, first, codes);
      for (std::int64_t row = 0; row < count; ++row) {
        const auto at = static_cast<std::size_t>(row);
        out[static_cast<std::size_t>(row * columns() + input)] =
            (codes[at] - zeros[at]) * scales[at];
      }
    }
  }

 private:
  AwqMatrix(std::string name, const ForeignTensor& codes)
      : DequantisedMatrix(std::move(name), codes.file(), codes.shape()[1] * kPerWord,
                          codes.shape()[0], "awq4"),
        codes_(codes) {}

  /// Outputs from `first` on of a line of words.
  void unpack(const ForeignTensor& tensor, std::int64_t line, std::int64_t first,
              std::span<float> out) const {
    const auto count = static_cast<std::int64_t>(out.size());
    const std::int64_t first_word = first / kPerWord;
    std::vector<std::uint32_t> words(
        static_cast<std::size_t>((first + count - 1) / kPerWord - first_word + 1));
    read_words(tensor, line * (rows() / kPerWord) + first_word, words);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = first + i;
      const std::uint32_t word = words[static_cast<std::size_t>(row / kPerWord - first_word)];
      const unsigned shift = kShifts.at(static_cast<std::size_t>(row % kPerWord));
      out[static_cast<std::size_t>(i)] = static_cast<float>((word >> shift) & 0xFU);
    }
  }

  const ForeignTensor& codes_;
  const ForeignTensor* zeros_ = nullptr;
  const ForeignTensor* scales_ = nullptr;
  std::int64_t group_size_ = 0;
};

}  // namespace

Quantisation read_awq(ConfigFields& fields) {
  // AutoAWQ's own names, which old files have, beside those of transformers.
  const std::int64_t bits = fields.size("bits", fields.size("w_bit", 4));
  const std::int64_t group_size = fields.integer("group_size", fields.integer("q_group_size", 128));
  const std::string version = fields.text("version", "gemm");
  if (bits != 4) {
    fields.fail("bits", fmt::format("is {}, which is unsupported; expected 4", bits));
  }
  if (group_size == 0 || group_size < -1) {
    fields.fail("group_size", fmt::format("is {}, expected -1 or a size", group_size));
  }
  if (version != "gemm" && version != "GEMM") {
    fields.fail("version", "is \"" + version + "\", which is unsupported; expected gemm");
  }
  if (!fields.flag("zero_point", true)) {
    fields.fail("zero_point", "is false, which is unsupported");
  }
  return {.name = "awq of 4 bits", .expand = [group_size](ForeignTensors& tensors) {
            return for_each_weight(bases_of(tensors, ".qweight"), [&](const std::string& base) {
              tensors.add(std::make_unique<AwqMatrix>(base + ".weight", group_size, tensors, base));
            });
          }};
}

}  // namespace gridmill::convert_detail
