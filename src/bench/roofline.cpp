#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "bench/roofline_detail.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill::bench_detail {

namespace {

double flop_rate(const MachineLimits& limits, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? limits.bf16_flop_per_s : limits.fp32_flop_per_s;
}

/// Time of a row's products with codes.
double coded_seconds(const PassCost& cost, const MachineLimits& limits) {
  return cost.coded_op_of_row == 0 ? 0 : cost.coded_op_of_row / limits.int8_op_per_s;
}

}  // namespace

PassCost pass_cost(const Model& model, DType compute_dtype, const WeightFormat& format) {
  constexpr std::int64_t kLong = 4096;  // whole pages of the KV cache
  const ModelParameters parameters = model.parameters(1, 0);
  std::map<std::string, std::int64_t> coded;
  if (format.coded()) coded = codable_parameters(parameters);
  PassCost cost;
  for (std::size_t unit = 0; unit < parameters.units.size(); ++unit) {
    for (const MatrixSpec& matrix : parameters.units[unit].matrices) {
      if (matrix.layout != MatrixLayout::panels) continue;  // an embedding: looked up
      const auto elements = static_cast<double>(matrix.shape.outputs * matrix.shape.inputs);
      if (coded.contains(matrix.parts.front().parameter)) {
        const auto outputs = static_cast<double>(matrix.shape.outputs);
        const std::int64_t groups =
            groups_in(matrix.shape.inputs, matrix.shape.group_block(), format.group);
        cost.weight_bytes +=
            outputs * static_cast<double>(code_bytes(format.codes, matrix.shape.inputs) +
                                          groups * kScaleBytes);
        cost.coded_op_of_row += 2 * elements;
        continue;
      }
      cost.weight_bytes += elements * static_cast<double>(size_of(compute_dtype));
      cost.flop_of_row += 2 * elements;
      // The head is the last unit.
      if (unit + 1 < parameters.units.size()) cost.flop_of_inner_row += 2 * elements;
    }
  }
  // States that grow with a row are read; the others are read and written.
  const auto state_at = [&](std::int64_t length) {
    return static_cast<double>(model.state_bytes_per_slot(1, length, compute_dtype));
  };
  cost.cache_bytes_of_token = (state_at(2 * kLong) - state_at(kLong)) / kLong;
  cost.state_bytes_of_row = 2 * (state_at(kLong) - kLong * cost.cache_bytes_of_token);
  return cost;
}

DecodeBound decode_bound(const PassCost& cost, const MachineLimits& limits, DType compute_dtype,
                         int rows, double context) {
  return {.moving_s = (cost.weight_bytes + rows * context * cost.cache_bytes_of_token) /
                          limits.read_bytes_per_s +
                      rows * cost.state_bytes_of_row / limits.update_bytes_per_s,
          .multiplying_s = rows * (cost.flop_of_row / flop_rate(limits, compute_dtype) +
                                   coded_seconds(cost, limits))};
}

double prefill_bound_s(const PassCost& cost, const MachineLimits& limits, DType compute_dtype,
                       int tokens) {
  return ((tokens - 1) * cost.flop_of_inner_row + cost.flop_of_row) /
             flop_rate(limits, compute_dtype) +
         tokens * coded_seconds(cost, limits);
}

}  // namespace gridmill::bench_detail
