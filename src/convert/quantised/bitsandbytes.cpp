#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "convert/quantised/quantisation.hpp"
#include "convert/quantised/scaled_matrix.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"

// bitsandbytes.
// Eight bits: weight I8 [out, in] and SCB F32 [out]; value = (code * SCB) * (1 / 127).
// Four bits: the row-major values of a matrix in blocks (64) with one scale each:
//   weight            U8, two codes a byte, the first in the upper half
//   weight.quant_map  F32 [16], the value of each code (nf4 or fp4)
//   weight.absmax     F32 [blocks], or U8 codes of scales (double quantisation), with
//                     weight.nested_quant_map F32 [256] and weight.nested_absmax F32 for each
//                     nested_blocksize (256) of them: scale = map[code] * nested_absmax + offset
//   weight.quant_state.bitsandbytes__nf4  U8, JSON: shape, blocksize, nested_offset, ...
// value = quant_map[code] * scale. Source: functional.py and backends/default of bitsandbytes 0.50.
namespace gridmill::convert_detail {

namespace {

constexpr float kOneOver127 = 7.874015718698502e-3F;

/// Fields of the JSON of a four-bit weight.
struct State {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::int64_t block = 64;
  std::int64_t nested_block = 256;
  float nested_offset = 0;
};

State read_state(const ForeignTensor& tensor) {
  constexpr std::int64_t kLongest = 1 << 16;
  constexpr std::int64_t kLargestBlock = 1 << 20;
  if (tensor.type() != "U8" || tensor.shape().size() != 1 || tensor.shape()[0] > kLongest) {
    fail_tensor(tensor, "is no short vector of type U8");
  }
  std::string text(static_cast<std::size_t>(tensor.shape()[0]), '\0');
  read_stored(tensor, 0, std::as_writable_bytes(std::span(text)));
  const std::string where = tensor.file() + ": tensor " + tensor.name();
  const Json json = parse_json(text, where);
  ConfigFields fields(json, where);
  State state;
  const Json* shape = fields.value("shape");
  const auto good = [](const Json& extent) {
    return extent.is_number_integer() && extent >= 1 && extent < (std::int64_t{1} << 31);
  };
  if (shape == nullptr || !shape->is_array() || shape->size() != 2 || !good((*shape)[0]) ||
      !good((*shape)[1])) {
    fields.fail("shape", "is no list of two extents");
  }
  state.rows = (*shape)[0].get<std::int64_t>();
  state.columns = (*shape)[1].get<std::int64_t>();
  state.block = fields.size("blocksize", state.block);
  state.nested_block = fields.size("nested_blocksize", state.nested_block);
  state.nested_offset = static_cast<float>(fields.number("nested_offset", 0));
  if (state.block > kLargestBlock || state.block % 2 != 0 || state.nested_block > kLargestBlock) {
    fields.fail("blocksize",
                fmt::format("is {}, and nested_blocksize {}", state.block, state.nested_block));
  }
  return state;
}

class FourBitMatrix final : public ForeignTensor {
 public:
  /// @param name  base of the tensors; all must outlive this.
  FourBitMatrix(std::string name, const State& state, const ForeignTensor& codes,
                ForeignTensors& tensors, std::string kind)
      : ForeignTensor(name, codes.file(), {state.rows, state.columns}, std::move(kind)),
        state_(state),
        codes_(codes) {
    const std::int64_t count = state.rows * state.columns;
    const std::int64_t bytes = (count + 1) / 2;
    // bnb_4bit_quant_storage may give the same bytes another type.
    const std::int64_t width = codes.type() == "F32"                             ? 4
                               : codes.type() == "BF16" || codes.type() == "F16" ? 2
                                                                                 : 1;
    if (element_count(codes.shape()) * width != bytes) {
      fail_tensor(codes, fmt::format("is {} of type {}, expected {} bytes for [{}, {}] in four "
                                     "bits",
                                     to_text(codes.shape()), codes.type(), bytes, state.rows,
                                     state.columns));
    }
    const std::int64_t blocks = (count + state.block - 1) / state.block;
    scales_ = &part_of(tensors, name + ".absmax", "F32 U8", Extents{blocks});
    map_ = &part_of(tensors, name + ".quant_map", "F32", Extents{16});
    if (scales_->type() == "U8") {
      nested_map_ = &part_of(tensors, name + ".nested_quant_map", "F32", Extents{256});
      nested_ = &part_of(tensors, name + ".nested_absmax", "F32",
                         Extents{(blocks + state.nested_block - 1) / state.nested_block});
    }
  }
  [[nodiscard]] bool floating() const override { return true; }
  [[nodiscard]] DType stored_as() const override { return DType::bf16; }
  void read(std::int64_t first, std::span<float> out) const override {
    if (out.empty()) return;
    const std::int64_t last = first + static_cast<std::int64_t>(out.size()) - 1;
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(last / 2 - first / 2 + 1));
    read_stored(codes_, static_cast<std::uint64_t>(first / 2),
                std::as_writable_bytes(std::span(bytes)));
    std::array<float, 16> map{};
    read_scales(*map_, 0, map);
    const std::int64_t first_block = first / state_.block;
    const std::vector<float> scales = scales_of(first_block, last / state_.block);
    for (std::int64_t i = first; i <= last; ++i) {
      const unsigned byte = bytes[static_cast<std::size_t>(i / 2 - first / 2)];
      const unsigned code = i % 2 == 0 ? byte >> 4U : byte & 0xFU;
      out[static_cast<std::size_t>(i - first)] =
          map.at(code) * scales[static_cast<std::size_t>(i / state_.block - first_block)];
    }
  }

 private:
  [[nodiscard]] std::vector<float> scales_of(std::int64_t first, std::int64_t last) const {
    std::vector<float> scales(static_cast<std::size_t>(last - first + 1));
    read_scales(*scales_, first, scales);
    if (nested_ == nullptr) return scales;
    std::vector<float> map(256);
    read_scales(*nested_map_, 0, map);
    const std::int64_t first_nested = first / state_.nested_block;
    std::vector<float> nested(
        static_cast<std::size_t>(last / state_.nested_block - first_nested + 1));
    read_scales(*nested_, first_nested, nested);
    for (std::int64_t block = first; block <= last; ++block) {
      float& scale = scales[static_cast<std::size_t>(block - first)];
      const auto group = static_cast<std::size_t>(block / state_.nested_block - first_nested);
      scale = map[static_cast<std::size_t>(scale)] * nested[group] + state_.nested_offset;
    }
    return scales;
  }

  State state_;
  const ForeignTensor& codes_;
  const ForeignTensor* scales_ = nullptr;
  const ForeignTensor* map_ = nullptr;
  const ForeignTensor* nested_map_ = nullptr;
  const ForeignTensor* nested_ = nullptr;
};

int expand_four_bits(ForeignTensors& tensors) {
  int count = 0;
  for (const std::string kind : {"nf4", "fp4"}) {
    const std::string ending = ".quant_state.bitsandbytes__" + kind;
    const std::vector<std::string> bases = bases_of(tensors, ending);
    set_codes_aside(tensors, bases, "");
    count += for_each_weight(bases, [&](const std::string& name) {
      const State state = read_state(*tensors.find(name + ending));
      tensors.mark_used(name + ending);
      const ForeignTensor& codes = *tensors.find(name + kCodes);
      tensors.mark_used(name + kCodes);
      tensors.add(std::make_unique<FourBitMatrix>(name, state, codes, tensors, kind));
    });
  }
  return count;
}

int expand_eight_bits(ForeignTensors& tensors) {
  const std::vector<std::string> bases = bases_of(tensors, ".SCB");
  set_codes_aside(tensors, bases, ".weight");
  return for_each_weight(bases, [&](const std::string& base) {
    const std::string name = base + ".weight";
    const ForeignTensor& codes = part_of(tensors, name + kCodes, "I8", 2);
    const ForeignTensor& scales =
        part_of(tensors, base + ".SCB", "float", Extents{codes.shape()[0]});
    const ScaledForm form{.rows = codes.shape()[0],
                          .columns = codes.shape()[1],
                          .block_columns = codes.shape()[1],
                          .type = "int8"};
    if (const ForeignTensor* layout = tensors.find(base + ".weight_format")) {
      std::byte order{};
      if (element_count(layout->shape()) != 1 || layout->type() != "U8") {
        fail_tensor(*layout, "is no single number of type U8");
      }
      read_stored(*layout, 0, std::span(&order, 1));
      if (order != std::byte{0}) {
        fail_tensor(*layout, fmt::format("is {}: an order other than by rows (0) is unsupported",
                                         static_cast<int>(order)));
      }
      tensors.mark_used(base + ".weight_format");
    }
    tensors.add(
        std::make_unique<ScaledMatrix>(name, form, codes, scales, nullptr, nullptr, kOneOver127));
  });
}

}  // namespace

Quantisation read_bitsandbytes(ConfigFields& fields) {
  const bool four = fields.flag("load_in_4bit", false);
  const bool eight = fields.flag("load_in_8bit", false);
  if (four == eight) {
    fields.fail("load_in_4bit", "and load_in_8bit: exactly one must be true");
  }
  if (eight) return {.name = "bitsandbytes of 8 bits", .expand = expand_eight_bits};
  const std::string type = fields.text("bnb_4bit_quant_type", "fp4");
  if (type != "nf4" && type != "fp4") {
    fields.fail("bnb_4bit_quant_type", "is \"" + type + "\", which is unsupported");
  }
  return {.name = "bitsandbytes " + type, .expand = expand_four_bits};
}

}  // namespace gridmill::convert_detail
