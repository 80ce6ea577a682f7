#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "convert/quantised/quantisation.hpp"
#include "convert/quantised/scaled_matrix.hpp"
#include "gridmill/base/format.hpp"

// FP8: `weight` F8_E4M3 (or F8_E5M2) [out, in] with `weight_scale_inv` or `weight_scale`, floats,
// in one of three shapes: one for all, one a row, or one for each block of weight_block_size
// (DeepSeek, Qwen: 128 x 128). value = code * scale, for both names. Scales of activations
// (`input_scale`) are not needed. Source: FineGrainedFP8Config and FbgemmFp8Config of transformers.
namespace gridmill::convert_detail {

namespace {

constexpr std::array kScales = {".weight_scale_inv", ".weight_scale"};
constexpr std::array kOfActivations = {".input_scale", ".activation_scale", ".input_scale_ub"};

std::pair<std::int64_t, std::int64_t> block_size(ConfigFields& fields) {
  const char* name = "weight_block_size";
  const Json* found = fields.value(name);
  if (found == nullptr) return {128, 128};
  constexpr std::int64_t kLargest = 1 << 20;
  const auto good = [](const Json& extent) {
    return extent.is_number_integer() && extent >= 1 && extent <= kLargest;
  };
  if (!found->is_array() || found->size() != 2 || !good((*found)[0]) || !good((*found)[1])) {
    fields.fail(name, "is no list of two sizes");
  }
  return {(*found)[0].get<std::int64_t>(), (*found)[1].get<std::int64_t>()};
}

}  // namespace

Quantisation read_fp8(ConfigFields& fields) {
  const auto block = block_size(fields);
  return {.name = "fp8", .expand = [block](ForeignTensors& tensors) {
            int count = 0;
            for (const char* ending : kScales) {
              const std::vector<std::string> bases = bases_of(tensors, ending);
              set_codes_aside(tensors, bases, ".weight");
              count += for_each_weight(bases, [&](const std::string& base) {
                const std::string name = base + ".weight";
                const ForeignTensor& codes = part_of(tensors, name + kCodes, "F8_E4M3 F8_E5M2", 2);
                const ForeignTensor& scales =
                    part_of(tensors, base + ending, "float", tensors.find(base + ending)->shape());
                ScaledForm form{
                    .rows = codes.shape()[0], .columns = codes.shape()[1], .type = "fp8"};
                set_blocks(form, scales, block.first, block.second);
                tensors.add(std::make_unique<ScaledMatrix>(name, form, codes, scales));
                for (const char* unused : kOfActivations) {
                  if (tensors.contains(base + unused)) tensors.mark_used(base + unused);
                }
              });
            }
            return count;
          }};
}

}  // namespace gridmill::convert_detail
