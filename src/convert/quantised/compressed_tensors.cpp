#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <vector>

#include "convert/derived_tensors.hpp"
#include "convert/quantised/quantisation.hpp"
#include "convert/quantised/scaled_matrix.hpp"
#include "gridmill/base/format.hpp"

// compressed-tensors, the format of LLM Compressor and vLLM. Beside `weight_scale` ([1], [out, 1]
// or a grid of groups or blocks) a weight (out, in) is
//   pack-quantized   weight_packed I32 [out, ceil(in * bits / 32)], weight_shape [2],
//                    weight_zero_point I32 [ceil(out * bits / 32), groups], weight_g_idx [in]
//   int-quantized, float-quantized, naive-quantized
//                    weight I8 or F8_E4M3 [out, in], weight_zero_point I8 in the grid of the scales
//   mxfp4-pack-quantized
//                    weight_packed U8 [out, in / 2], weight_scale U8 [out, in / 32]
// value = (code - zero) * scale; packed codes and zeros have 2^(bits - 1) added. What is said of
// activations (w8a8) is not done: gridmill computes with activations as they are.
// Source: pack_quantized, naive_quantized, mxfp4 of compressed-tensors 0.20.
namespace gridmill::convert_detail {

namespace {

/// An entry of config_groups: weights of one kind, several kinds of layers.
struct Group {
  std::int64_t bits = 0;
  std::int64_t group_size = 0;  ///< 0: none
  std::int64_t block_rows = 1;
  std::int64_t block_columns = 0;
};

constexpr std::array<std::string_view, 5> kFormats = {"pack-quantized", "int-quantized",
                                                      "float-quantized", "naive-quantized",
                                                      "mxfp4-pack-quantized"};

Group read_group(ConfigFields& weights) {
  Group group;
  group.bits = weights.size("num_bits", 8);
  group.group_size = std::max<std::int64_t>(0, weights.integer("group_size", 0));
  if (const Json* block = weights.value("block_structure")) {
    constexpr std::int64_t kLargest = 1 << 20;
    const auto good = [](const Json& extent) {
      return extent.is_number_integer() && extent >= 1 && extent <= kLargest;
    };
    if (!block->is_array() || block->size() != 2 || !good((*block)[0]) || !good((*block)[1])) {
      weights.fail("block_structure", "is no list of two sizes");
    }
    group.block_rows = (*block)[0].get<std::int64_t>();
    group.block_columns = (*block)[1].get<std::int64_t>();
  }
  return group;
}

/// The one kind of weights that all groups describe.
Group read_groups(ConfigFields& fields) {
  const Json* groups = fields.value("config_groups");
  if (groups == nullptr || !groups->is_object() || groups->empty()) {
    fields.fail("config_groups", "is missing or no object of groups");
  }
  bool first = true;
  Group one;
  for (const auto& [name, value] : groups->items()) {
    ConfigFields group(value, fields.where() + ": config_groups: " + name);
    const std::string format = group.text("format", std::string(kFormats.front()));
    if (std::find(kFormats.begin(), kFormats.end(), format) == kFormats.end()) {
      group.fail("format", "is \"" + format + "\", which is unsupported");
    }
    const Json* found = group.value("weights");
    if (found == nullptr) group.fail("weights", "is missing");
    ConfigFields weights(*found, group.where() + ": weights");
    const Group read = read_group(weights);
    if (!first && (read.bits != one.bits || read.group_size != one.group_size ||
                   read.block_rows != one.block_rows || read.block_columns != one.block_columns)) {
      fields.fail("config_groups", "has weights of several kinds, which is unsupported");
    }
    one = read;
    first = false;
  }
  return one;
}

void mark_unneeded(ForeignTensors& tensors, const std::string& base) {
  for (const char* name : {".input_scale", ".input_zero_point", ".output_scale",
                           ".output_zero_point", ".input_global_scale"}) {
    if (tensors.contains(base + name)) tensors.mark_used(base + name);
  }
}

void expand_plain(ForeignTensors& tensors, const std::string& base, const Group& group) {
  const std::string name = base + ".weight";
  const ForeignTensor& codes = part_of(tensors, name + kCodes, "I8 F8_E4M3", 2);
  const std::string scale_name = base + ".weight_scale";
  const ForeignTensor& scales =
      part_of(tensors, scale_name, "float", tensors.find(scale_name)->shape());
  ScaledForm form{
      .rows = codes.shape()[0], .columns = codes.shape()[1], .type = "compressed " + codes.type()};
  const std::int64_t columns = group.group_size > 0      ? group.group_size
                               : group.block_columns > 0 ? group.block_columns
                                                         : form.columns;
  if (group.group_size > 0 && form.columns % group.group_size != 0) {
    fail_tensor(codes, fmt::format("has {} inputs, which groups of {} do not divide", form.columns,
                                   group.group_size));
  }
  set_blocks(form, scales, group.block_rows, columns);
  const ForeignTensor* zeros = nullptr;
  if (tensors.contains(base + ".weight_zero_point")) {
    zeros = &part_of(tensors, base + ".weight_zero_point", "I8", scales.shape());
  }
  tensors.add(std::make_unique<ScaledMatrix>(name, form, codes, scales, zeros));
  mark_unneeded(tensors, base);
}

void expand_packed(ForeignTensors& tensors, const std::string& base, const Group& group) {
  const ForeignTensor& codes = part_of(tensors, base + ".weight_packed", "I32", 2);
  const ForeignTensor& shape = part_of(tensors, base + ".weight_shape", "I64 I32", Extents{2});
  std::array<std::int64_t, 2> extents{};
  if (shape.type() == "I64") {
    read_stored(shape, 0, std::as_writable_bytes(std::span(extents)));
  } else {
    std::array<std::int32_t, 2> narrow{};
    read_stored(shape, 0, std::as_writable_bytes(std::span(narrow)));
    extents = {narrow[0], narrow[1]};
  }
  const std::int64_t per_word = 32 / group.bits;
  constexpr std::int64_t kLargest = std::int64_t{1} << 31;
  if (extents[0] != codes.shape()[0] || extents[1] < 1 || extents[1] > kLargest ||
      (extents[1] + per_word - 1) / per_word != codes.shape()[1]) {
    fail_tensor(shape, fmt::format("says [{}, {}], which {} words of {} bits are not", extents[0],
                                   extents[1], to_text(codes.shape()), group.bits));
  }
  const std::string scale_name = base + ".weight_scale";
  const ForeignTensor* found = tensors.find(scale_name);
  if (found == nullptr) fail_tensor(codes, "has no " + scale_name + " beside it");
  const ForeignTensor& scales = part_of(tensors, scale_name, "float", found->shape());
  ScaledForm form{.rows = extents[0],
                  .columns = extents[1],
                  .packed_bits = group.bits,
                  .type = fmt::format("compressed {} bits", group.bits)};
  const std::int64_t size = group.group_size > 0 ? group.group_size : form.columns;
  if (form.columns % size != 0) {
    fail_tensor(codes,
                fmt::format("has {} inputs, which groups of {} do not divide", form.columns, size));
  }
  set_blocks(form, scales, 1, size);
  const ForeignTensor* zeros = nullptr;
  if (tensors.contains(base + ".weight_zero_point")) {
    const std::int64_t lines = (form.rows + form.block_rows - 1) / form.block_rows;
    zeros = &part_of(tensors, base + ".weight_zero_point", "I32",
                     {(lines + per_word - 1) / per_word, form.columns / form.block_columns});
  }
  const ForeignTensor* order = nullptr;
  if (tensors.contains(base + ".weight_g_idx")) {
    order = &part_of(tensors, base + ".weight_g_idx", "I32", Extents{form.columns});
  }
  tensors.add(std::make_unique<ScaledMatrix>(base + ".weight", form, codes, scales, zeros, order));
  mark_unneeded(tensors, base);
}

void expand_mxfp4(ForeignTensors& tensors, const std::string& base) {
  const ForeignTensor& blocks = part_of(tensors, base + ".weight_packed", "U8", 2);
  const ForeignTensor& scales = part_of(tensors, base + ".weight_scale", "U8", 2);
  tensors.add(std::make_unique<Mxfp4Tensor>(base + ".weight", blocks, scales));
  mark_unneeded(tensors, base);
}

}  // namespace

Quantisation read_compressed_tensors(ConfigFields& fields) {
  const std::string format = fields.text("format");
  if (std::find(kFormats.begin(), kFormats.end(), format) == kFormats.end()) {
    std::string list;
    for (const std::string_view name : kFormats) {
      list += (list.empty() ? "" : ", ") + std::string(name);
    }
    fields.fail("format", "is \"" + format + "\", which is unsupported; gridmill reads " + list);
  }
  if (const Json* sparsity = fields.value("sparsity_config")) {
    ConfigFields settings(*sparsity, fields.where() + ": sparsity_config");
    const std::string kind = settings.text("format", "dense");
    if (kind != "dense") settings.fail("format", "is \"" + kind + "\", which is unsupported");
  }
  if (const Json* transform = fields.value("transform_config")) {
    if (!transform->is_object() ||
        (transform->contains("config_groups") && !transform->at("config_groups").empty())) {
      fields.fail("transform_config", "is given: rotated weights are unsupported");
    }
  }
  const Group group = read_groups(fields);
  const bool packed = format == "pack-quantized";
  if (packed && group.bits != 2 && group.bits != 4 && group.bits != 8) {
    fields.fail("config_groups", fmt::format("packs {} bits, which is unsupported; expected 2, 4 "
                                             "or 8",
                                             group.bits));
  }
  return {.name = fmt::format("compressed-tensors ({}) of {} bits", format, group.bits),
          .expand = [format, group, packed](ForeignTensors& tensors) {
            if (format == "mxfp4-pack-quantized") {
              return for_each_weight(bases_of(tensors, ".weight_packed"),
                                     [&](const std::string& base) { expand_mxfp4(tensors, base); });
            }
            if (packed) {
              return for_each_weight(
                  bases_of(tensors, ".weight_packed"),
                  [&](const std::string& base) { expand_packed(tensors, base, group); });
            }
            const std::vector<std::string> bases = bases_of(tensors, ".weight_scale");
            set_codes_aside(tensors, bases, ".weight");
            return for_each_weight(
                bases, [&](const std::string& base) { expand_plain(tensors, base, group); });
          }};
}

}  // namespace gridmill::convert_detail
