#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "convert/config_fields_detail.hpp"
#include "convert/foreign_model_detail.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill::convert_detail {

/// Adds the arrays below /params under their Flax paths joined with "/".
/// @throws FormatError if the file has no such group.
void add_flax_parameters(const h5::File& file, ForeignTensors& tensors);

/// Where the blocks of a Flax model keep their arrays.
struct FlaxLayout {
  bool scanned = false;     ///< one array for all blocks, with a leading block axis
  std::int64_t layers = 0;  ///< blocks
  std::string block;        ///< path of a block: whole if scanned, else its number is appended
  // Switches of xlstm-jax that decide how arrays are stored, not what is computed:
  bool layer_bias = false;      ///< biases in the mLSTM layer
  bool ffn_bias = false;        ///< biases in the feed-forward
  bool headwise_gates = false;  ///< older layer: a gate sees the features of its own head only
  bool joint_qk = false;        ///< older layer: q and k projections in one array

  [[nodiscard]] std::string path(std::int64_t layer, const std::string& suffix) const;
};

/// Makes takes out of Flax arrays: kernels are (in, out), blocks may be stacked along a first axis,
/// tensor-parallel parts along the next one ("sharded"). Parts are found by the extents of the
/// arrays, which is why the tensors are needed.
class FlaxTakes {
 public:
  FlaxTakes(const ForeignTensors& tensors, FlaxLayout layout)
      : tensors_(tensors), layout_(std::move(layout)) {}

  /// A vector (or a matrix stored like ours) whose elements lie one after the other.
  /// @param core  extents behind block and tensor axis, of the whole model.
  [[nodiscard]] ParameterTake flat(const ParameterSpec& spec, std::int64_t layer,
                                   const std::string& suffix, const Extents& core) const;
  /// The same behind a tensor axis, which cuts the first extent.
  [[nodiscard]] ParameterTake sharded_flat(const ParameterSpec& spec, std::int64_t layer,
                                           const std::string& suffix, Extents core) const;
  /// A kernel (in..., out...) without tensor axis, transposed.
  [[nodiscard]] ParameterTake kernel(const ParameterSpec& spec, std::int64_t layer,
                                     const std::string& suffix, const Extents& core) const;
  /// Kernel of a layer that is one Dense module, or one a tensor-parallel part: parts of outputs.
  [[nodiscard]] ParameterTake column_parallel(const ParameterSpec& spec, std::int64_t layer,
                                              const std::string& suffix) const;
  /// The same with parts of inputs.
  [[nodiscard]] ParameterTake row_parallel(const ParameterSpec& spec, std::int64_t layer,
                                           const std::string& suffix) const;
  /// Bias of a column-parallel layer.
  [[nodiscard]] ParameterTake column_bias(const ParameterSpec& spec, std::int64_t layer,
                                          const std::string& suffix) const;
  /// Bias of a row-parallel layer. @throws FormatError if every part has one: they would be summed.
  [[nodiscard]] ParameterTake row_bias(const ParameterSpec& spec, std::int64_t layer,
                                       const std::string& suffix) const;
  /// (parts, V, D / parts)
  [[nodiscard]] ParameterTake embedding(const ParameterSpec& spec, const std::string& path) const;

  /// Tensor-parallel parts of an array of one layer; 1 if it is missing.
  [[nodiscard]] std::int64_t parts(const std::string& path) const;
  [[nodiscard]] const FlaxLayout& layout() const { return layout_; }
  /// Extents of an array: block axis if scanned, tensor axis if `parts` > 0, `core`.
  [[nodiscard]] Extents extents(std::int64_t parts, const Extents& core) const;

 private:
  struct Dense {
    std::string path;        // of the module that has kernel and bias
    std::int64_t parts = 0;  // 0: one module without tensor axis
  };
  [[nodiscard]] Dense dense(std::int64_t layer, const std::string& suffix) const;
  [[nodiscard]] std::int64_t axis_extent(const std::string& path, std::size_t axis) const;

  const ForeignTensors& tensors_;
  FlaxLayout layout_;
};

/// final_norm and head, which both model classes have.
[[nodiscard]] ParameterTake take_flax_head(const ParameterSpec& spec);

/// The two model classes of xlstm-jax.
[[nodiscard]] Json flax_xlstm_model(ConfigFields& config, FlaxLayout& layout);
[[nodiscard]] Json flax_llama_model(ConfigFields& config, FlaxLayout& layout);
[[nodiscard]] ParameterTake take_from_flax_xlstm(const ParameterSpec& spec, const Json& model,
                                                 const FlaxTakes& takes);
[[nodiscard]] ParameterTake take_from_flax_llama(const ParameterSpec& spec, const Json& model,
                                                 const FlaxTakes& takes);

}  // namespace gridmill::convert_detail
