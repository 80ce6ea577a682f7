#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "gridmill/model/model_spec.hpp"
#include "model/layout/unit_builder.hpp"

namespace gridmill::model_detail {

// Where the parameters of each block are in their layer's unit. All follow from the description.

struct AttentionParts {
  /// q|k|v, and q_gate behind them.
  LinearParts inputs;
  PartIndex q_norm = -1, k_norm = -1;
  PartIndex sinks = -1;
  LinearParts out;
};

struct FeedForwardParts {
  /// gate|up interleaved, or up.
  LinearParts up;
  LinearParts down;
};

struct ExpertsParts {
  PartIndex router = -1, router_bias = -1;
  /// For each expert: gate|up interleaved, and down.
  std::vector<FeedForwardParts> experts;
  FeedForwardParts shared;
  PartIndex shared_router = -1;
};

struct MlstmParts {
  /// q|k|v|o_gate; older layer: up_x|up_z.
  LinearParts inputs;
  PartIndex q_norm = -1, k_norm = -1;
  NormParts head_norm;
  LinearParts out;
  /// i|f: a matrix of its own, since it stays as it is where others become codes.
  LinearParts gates;
  // Older layer.
  NormParts conv;
  PartIndex q = -1, k = -1, v = -1, skip = -1;
};

struct LinearRecurrenceParts {
  /// q|k|v|gate|decay, and strength behind them.
  LinearParts inputs;
  /// [taps][channels], channels in the order q, k, v.
  NormParts conv;
  PartIndex step_bias = -1, a_log = -1, skip = -1, norm = -1;
  LinearParts out;
};

struct SlstmParts {
  NormParts conv;
  /// Blocks of the gates.
  PartIndex i = -1, f = -1, z = -1, o = -1;
  PartIndex recurrent = -1, bias = -1;
  PartIndex head_norm = -1;
};

struct BlockParts {
  NormParts norm, post_norm;
  std::variant<AttentionParts, FeedForwardParts, ExpertsParts, MlstmParts, LinearRecurrenceParts,
               SlstmParts>
      mixer;
};
using LayerParts = std::vector<BlockParts>;

/// Everything one tp rank needs, and where to find it.
struct ModelLayout {
  ModelParameters parameters;
  std::vector<LayerParts> layers;
  /// Learned positions: a unit of their own; -1 = none.
  UnitId positions_unit = -1;
  UnitId first_layer = 0;
  LinearParts head;
  NormParts final_norm;
};

/// @throws UsageError if the model cannot be split so.
[[nodiscard]] ModelLayout layout_of(const ModelSpec& spec, TensorParallel tp);

}  // namespace gridmill::model_detail
