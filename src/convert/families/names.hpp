#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "convert/foreign_model_detail.hpp"
#include "convert/parameter_take_detail.hpp"
#include "gridmill/model/model_spec.hpp"

namespace gridmill::convert_detail {

/// A parameter that the description needs.
struct WantedParameter {
  const ParameterSpec& spec;
  const ModelSpec& model;
  const ForeignTensors& tensors;
  /// "layers.3.q_bias" is layer 3, leaf "q_bias"; outside of layers the leaf is the whole name.
  std::optional<std::int64_t> layer = std::nullopt;
  std::string leaf;

  /// Attention of the parameter's layer. @throws InternalError if it has none.
  [[nodiscard]] const AttentionSpec& attention() const;
};

/// Our leaf and the foreign name, which stands behind the prefix of a layer.
using NamePair = std::pair<std::string_view, std::string_view>;
/// Names of a family where they differ from those of Llama, which are the rest. A foreign name that
/// is empty takes our leaf out of Llama's names.
struct Names {
  std::span<const NamePair> in_layer = {};
  std::span<const NamePair> outer = {};
  std::string_view layer_prefix = "model.layers.{}.";
};

/// The foreign name of a parameter. @throws InternalError without one.
[[nodiscard]] std::string foreign_name(const WantedParameter& wanted, const Names& names);
/// The whole tensor of that name.
[[nodiscard]] ParameterTake take_named(const WantedParameter& wanted, const Names& names);
/// A tensor of that name and shape, element by element: routers are vectors of ours.
[[nodiscard]] ParameterTake take_flattened(const WantedParameter& wanted, const Names& names,
                                           Extents shape);
/// The same as take_named, where the rotated pairs of q and k (and their biases) are interleaved.
[[nodiscard]] ParameterTake take_with_interleaved_heads(const WantedParameter& wanted,
                                                        const Names& names);
/// A part of a tensor that stacks several matrices by rows: rows [first, first + ours) of `total`.
[[nodiscard]] ParameterTake take_stacked(const WantedParameter& wanted, const std::string& tensor,
                                         std::int64_t first, std::int64_t total);
/// Rows of heads that lie head by head beside others: head h of ours begins at row h * `stride` +
/// `offset`. @param total  rows of the tensor.
[[nodiscard]] ParameterTake take_heads(const WantedParameter& wanted, const std::string& tensor,
                                       std::int64_t head_rows, std::int64_t stride,
                                       std::int64_t offset, std::int64_t total);
/// Columns [first, first + our rows) of a matrix stored (in, out) with `total` outputs, or that
/// part of a vector.
[[nodiscard]] ParameterTake take_transposed(const WantedParameter& wanted,
                                            const std::string& tensor, std::int64_t first,
                                            std::int64_t total);
/// An expert's parameter: "experts.3.gate" is expert 3, "gate".
[[nodiscard]] std::optional<std::pair<std::int64_t, std::string>> expert_of(
    const std::string& leaf);

}  // namespace gridmill::convert_detail
