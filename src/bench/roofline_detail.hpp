#pragma once

#include <algorithm>

#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/machine_limits.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill::bench_detail {

/// Least bytes and operations of one pass of a model.
struct PassCost {
  double weight_bytes = 0;          ///< every matrix once, the head included
  double flop_of_row = 0;           ///< products of a row that goes through the head
  double flop_of_inner_row = 0;     ///< of one that does not
  double coded_op_of_row = 0;       ///< products with weights of codes, beside those
  double cache_bytes_of_token = 0;  ///< KV cache that a decode row reads, a token of context
  double state_bytes_of_row = 0;    ///< recurrent state that a decode row reads, and writes again
};

/// @param format  of the layers' matrices (codable_parameters).
[[nodiscard]] PassCost pass_cost(const Model& model, DType compute_dtype,
                                 const WeightFormat& format = {});

/// Least seconds of a decode step.
struct DecodeBound {
  double moving_s = 0;       ///< weights and KV cache at the read rate, state at the update rate
  double multiplying_s = 0;  ///< at the product rate of the compute dtype
  [[nodiscard]] double seconds() const { return std::max(moving_s, multiplying_s); }
};
/// Bound for `rows` rows after `context` tokens each.
[[nodiscard]] DecodeBound decode_bound(const PassCost& cost, const MachineLimits& limits,
                                       DType compute_dtype, int rows, double context);
/// Least seconds of a prompt of `tokens` tokens among many: multiplying alone, the last token
/// through the head.
[[nodiscard]] double prefill_bound_s(const PassCost& cost, const MachineLimits& limits,
                                     DType compute_dtype, int tokens);

}  // namespace gridmill::bench_detail
