#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/grid_shape.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor.hpp"
#include "gridmill/generate/token_sampler.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill {

/// Opens the parameters: each cast to `param_dtype` first (if set), then gathered once or a layer
/// at a time.
using ParameterProvider = std::function<std::shared_ptr<ParameterSource>(
    bool gather_params_once, std::optional<DType> param_dtype)>;

/// The `state` of the seed: a model's function and its parameters.
struct GenerationState {
  const Model& model;
  ExecutionContext& context;
  ParameterProvider parameters;
};

/// Which positions of a prefix are given: 1 = given, 0 = generated; may have holes. A view.
struct PrefixMask {
  PrefixMask(TensorView<const std::uint8_t, 2> matrix)  // NOLINT(google-explicit-constructor)
      : flags(matrix) {}
  /// Mask of a one-dimensional prefix: [B], read as [B, 1].
  PrefixMask(std::span<const std::uint8_t> column)  // NOLINT(google-explicit-constructor)
      : flags(column.data(), {static_cast<std::int64_t>(column.size()), 1}) {}

  TensorView<const std::uint8_t, 2> flags;  ///< [B, P]
};

/// The seed's optional arguments, by its names and with its defaults (docs/seed.md).
struct GenerateTokensOptions {
  std::optional<PrefixMask> prefix_mask = std::nullopt;  ///< none = all given
  /// State to start from, as an earlier call or Model::make_state returned it; none = empty
  /// sequences with room for max_length tokens.
  std::unique_ptr<BatchState> cache = nullptr;
  std::int64_t max_length = 2048;  ///< of the result, prefix included
  std::int64_t eod_token_id = -1;  ///< >= 0: stop token, leave early; negative: fixed length
  TokenSampler token_sample_fn = temperature_sampler(1.0F);
  bool gather_params_once = false;
  /// Place of this rank: the seed's data_axis_name and fsdp_axis_name.
  GridShape grid = {};
  GridCoord coord = {};
  /// Ranks that leave the loop together: the fsdp group. None = this rank decides alone.
  Exchange* exit_group = nullptr;
  std::optional<DType> param_dtype = std::nullopt;
};

struct GeneratedBatch {
  Tensor<TokenId, 2> tokens;      ///< [B, L]; 0 where not valid
  Tensor<std::uint8_t, 2> valid;  ///< [B, L]
  /// To go on with: the state has consumed tokens 0 .. steps - 1 of the result (and what it had
  /// consumed before), so the next prefix is column `steps`; `rng` is the key of the next step.
  std::unique_ptr<BatchState> cache;
  RandomSource rng;
  std::int64_t steps = 0;
};

/// Generates a fixed batch token by token, as `generate_tokens` of NX-AI/xlstm-jax does: every
/// prefix token passes through the same step as a generated one, noise is drawn at every step, rows
/// that have ended keep running and are masked at the end. docs/seed.md has the semantics in full.
///
/// Collective as Model::forward, and over options.exit_group.
/// @param prefix_tokens  [B, P] of this rank, 1 <= P <= max_length; masked entries are read as 0.
/// @throws UsageError for P = 0, P > max_length, max_length = 0, a mask of another shape or with
/// values other than 0 and 1, given ids outside [0, V), a sampler that returns such or not one a
/// row, a cache without room for the rows and their tokens.
[[nodiscard]] GeneratedBatch generate_tokens(const GenerationState& state, const RandomSource& rng,
                                             TensorView<const TokenId, 2> prefix_tokens,
                                             GenerateTokensOptions options = {});

/// A one-dimensional prefix [B] is read as [B, 1].
[[nodiscard]] GeneratedBatch generate_tokens(const GenerationState& state, const RandomSource& rng,
                                             std::span<const TokenId> prefix_tokens,
                                             GenerateTokensOptions options = {});

}  // namespace gridmill
