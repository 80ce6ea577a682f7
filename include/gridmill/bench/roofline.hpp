#pragma once

#include <algorithm>
#include <string>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/kernels/machine_limits.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// Limits as `gridmill bench` writes them, in GB/s and Gflop/s: read_gb_per_s and so on.
[[nodiscard]] OrderedJson to_json(const MachineLimits& limits);
/// Those that `fields` has; the others are 0.
/// @throws FormatError naming `where` for a value that is no positive number.
[[nodiscard]] MachineLimits limits_from_json(const Json& fields, const std::string& where);

/// Least bytes and operations of one pass of a model.
struct PassCost {
  double weight_bytes = 0;          ///< every matrix once, the head included
  double flop_of_row = 0;           ///< products of a row that goes through the head
  double flop_of_inner_row = 0;     ///< of one that does not
  double coded_op_of_row = 0;       ///< products with weights of codes, beside those
  double cache_bytes_of_token = 0;  ///< KV cache that a decode row reads, a token of context
  double state_bytes_of_row = 0;    ///< recurrent state that a decode row reads, and writes again
};

/// Of one of `tp_size` ranks.
/// @param parameters    of that rank; formats as the matrices are kept in memory.
/// @param expert_share  of the experts, those that a token goes through.
[[nodiscard]] PassCost pass_cost(const Model& model, const ModelParameters& parameters, int tp_size,
                                 DType compute_dtype, double expert_share = 1);
/// Of one rank alone. @param format  of the layers' matrices (codable_parameters).
[[nodiscard]] PassCost pass_cost(const Model& model, DType compute_dtype,
                                 const WeightFormat& format = {});

/// Least seconds of a pass: a decode step, prompts, or both.
struct DecodeBound {
  double moving_s = 0;       ///< weights and KV cache at the read rate, state at the update rate
  double multiplying_s = 0;  ///< at the product rate of the compute dtype
  [[nodiscard]] double seconds() const { return std::max(moving_s, multiplying_s); }
};
/// What one pass feeds.
struct PassFeed {
  double tokens = 0;   ///< through the layers
  double drawn = 0;    ///< through the head
  double rows = 0;     ///< that have a token in it
  double context = 0;  ///< tokens that these have consumed before, all together
};
/// Bound for any pass.
[[nodiscard]] DecodeBound pass_bound(const PassCost& cost, const MachineLimits& limits,
                                     DType compute_dtype, const PassFeed& feed);
/// Bound for `rows` rows after `context` tokens each.
[[nodiscard]] DecodeBound decode_bound(const PassCost& cost, const MachineLimits& limits,
                                       DType compute_dtype, int rows, double context);
/// Least seconds of a prompt of `tokens` tokens among many: multiplying alone, the last token
/// through the head.
[[nodiscard]] double prefill_bound_s(const PassCost& cost, const MachineLimits& limits,
                                     DType compute_dtype, int tokens);

}  // namespace gridmill
