#include <utility>

#include "convert/xlstm_jax_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

std::string FlaxLayout::path(std::int64_t layer, const std::string& suffix) const {
  return scanned ? fmt::format("{}/{}", block, suffix)
                 : fmt::format("{}{}/{}", block, layer, suffix);
}

Extents FlaxTakes::extents(std::int64_t parts, const Extents& core) const {
  Extents result;
  if (layout_.scanned) result.push_back(layout_.layers);
  if (parts > 0) result.push_back(parts);
  result.insert(result.end(), core.begin(), core.end());
  return result;
}

std::int64_t FlaxTakes::axis_extent(const std::string& path, std::size_t axis) const {
  const ForeignTensor* tensor = tensors_.find(path);
  if (tensor == nullptr || tensor->shape().size() <= axis) return 1;
  return tensor->shape()[axis];
}

std::int64_t FlaxTakes::parts(const std::string& path) const {
  return axis_extent(path, layout_.scanned ? 1 : 0);
}

FlaxTakes::Dense FlaxTakes::dense(std::int64_t layer, const std::string& suffix) const {
  const std::string sharded = layout_.path(layer, suffix) + "/module/sharded";
  if (tensors_.contains(sharded + "/kernel")) {
    return {.path = sharded, .parts = parts(sharded + "/kernel")};
  }
  return {.path = layout_.path(layer, suffix) + "/Dense_0", .parts = 0};
}

ParameterTake FlaxTakes::flat(const ParameterSpec& spec, std::int64_t layer,
                              const std::string& suffix, const Extents& core) const {
  ParameterTake take = take_whole(layout_.path(layer, suffix), spec);
  take.shape = extents(0, core);
  if (layout_.scanned) take.blocks[0].first = layer * element_count(spec.shape);
  return take;
}

ParameterTake FlaxTakes::sharded_flat(const ParameterSpec& spec, std::int64_t layer,
                                      const std::string& suffix, Extents core) const {
  const std::int64_t count = parts(layout_.path(layer, suffix));
  ParameterTake take = flat(spec, layer, suffix, core);
  if (count > 0) core[0] /= count;
  take.shape = extents(count, core);
  return take;
}

ParameterTake FlaxTakes::kernel(const ParameterSpec& spec, std::int64_t layer,
                                const std::string& suffix, const Extents& core) const {
  const std::int64_t rows = rows_of(spec);
  const std::int64_t columns = columns_of(spec);
  return {.tensor = layout_.path(layer, suffix),
          .shape = extents(0, core),
          .blocks = {{.rows = {0, rows},
                      .columns = {0, columns},
                      .first = layout_.scanned ? layer * rows * columns : 0,
                      .row_stride = 1,
                      .column_stride = rows}}};
}

ParameterTake FlaxTakes::column_parallel(const ParameterSpec& spec, std::int64_t layer,
                                         const std::string& suffix) const {
  const Dense module = dense(layer, suffix);
  const std::int64_t count = std::max<std::int64_t>(1, module.parts);
  const std::int64_t outputs = rows_of(spec) / count;
  const std::int64_t inputs = columns_of(spec);
  ParameterTake take{.tensor = module.path + "/kernel",
                     .shape = extents(module.parts, {inputs, outputs})};
  const std::int64_t first_part = layout_.scanned ? layer * count : 0;
  for (std::int64_t part = 0; part < count; ++part) {
    take.blocks.push_back({.rows = {part * outputs, outputs},
                           .columns = {0, inputs},
                           .first = (first_part + part) * inputs * outputs,
                           .row_stride = 1,
                           .column_stride = outputs});
  }
  return take;
}

ParameterTake FlaxTakes::row_parallel(const ParameterSpec& spec, std::int64_t layer,
                                      const std::string& suffix) const {
  const Dense module = dense(layer, suffix);
  const std::int64_t count = std::max<std::int64_t>(1, module.parts);
  const std::int64_t outputs = rows_of(spec);
  const std::int64_t inputs = columns_of(spec) / count;
  ParameterTake take{.tensor = module.path + "/kernel",
                     .shape = extents(module.parts, {inputs, outputs})};
  const std::int64_t first_part = layout_.scanned ? layer * count : 0;
  for (std::int64_t part = 0; part < count; ++part) {
    take.blocks.push_back({.rows = {0, outputs},
                           .columns = {part * inputs, inputs},
                           .first = (first_part + part) * inputs * outputs,
                           .row_stride = 1,
                           .column_stride = outputs});
  }
  return take;
}

ParameterTake FlaxTakes::column_bias(const ParameterSpec& spec, std::int64_t layer,
                                     const std::string& suffix) const {
  const Dense module = dense(layer, suffix);
  const std::int64_t count = std::max<std::int64_t>(1, module.parts);
  ParameterTake take = take_whole(module.path + "/bias", spec);
  take.shape = extents(module.parts, {rows_of(spec) / count});
  if (layout_.scanned) take.blocks[0].first = layer * rows_of(spec);
  return take;
}

ParameterTake FlaxTakes::row_bias(const ParameterSpec& spec, std::int64_t layer,
                                  const std::string& suffix) const {
  const Dense module = dense(layer, suffix);
  if (module.parts > 1) {
    throw FormatError(
        fmt::format("{}/bias: each of {} tensor-parallel parts adds a bias of its "
                    "own; this is unsupported, save the model without a tensor axis",
                    module.path, module.parts));
  }
  return column_bias(spec, layer, suffix);
}

ParameterTake FlaxTakes::embedding(const ParameterSpec& spec, const std::string& path) const {
  const std::int64_t count = std::max<std::int64_t>(1, axis_extent(path, 0));
  const std::int64_t rows = rows_of(spec);
  const std::int64_t columns = columns_of(spec) / count;
  ParameterTake take{.tensor = path, .shape = {count, rows, columns}};
  for (std::int64_t part = 0; part < count; ++part) {
    take.blocks.push_back({.rows = {0, rows},
                           .columns = {part * columns, columns},
                           .first = part * rows * columns,
                           .row_stride = columns,
                           .column_stride = 1});
  }
  return take;
}

}  // namespace gridmill::convert_detail
