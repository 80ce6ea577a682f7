#include "gridmill/bench/roofline.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill {

namespace {

/// A limit and its name, in units of 1e9 a second.
struct LimitField {
  const char* name;
  double MachineLimits::*value;
};
constexpr std::array<LimitField, 5> kLimits = {{
    {"read_gb_per_s", &MachineLimits::read_bytes_per_s},
    {"update_gb_per_s", &MachineLimits::update_bytes_per_s},
    {"bf16_gflop_per_s", &MachineLimits::bf16_flop_per_s},
    {"fp32_gflop_per_s", &MachineLimits::fp32_flop_per_s},
    {"int8_gop_per_s", &MachineLimits::int8_op_per_s},
}};
constexpr double kGiga = 1e9;

double flop_rate(const MachineLimits& limits, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? limits.bf16_flop_per_s : limits.fp32_flop_per_s;
}

/// Time of a row's products with codes.
double coded_seconds(const PassCost& cost, const MachineLimits& limits) {
  return cost.coded_op_of_row == 0 ? 0 : cost.coded_op_of_row / limits.int8_op_per_s;
}

}  // namespace

OrderedJson to_json(const MachineLimits& limits) {
  OrderedJson fields = OrderedJson::object();
  for (const auto& [name, value] : kLimits) fields[name] = limits.*value / kGiga;
  return fields;
}

MachineLimits limits_from_json(const Json& fields, const std::string& where) {
  MachineLimits limits;
  for (const auto& [name, value] : kLimits) {
    const auto found = fields.find(name);
    if (found == fields.end()) continue;
    // bench writes 0 for products that the CPU does not have.
    if (!found->is_number() || !(found->get<double>() >= 0)) {
      throw FormatError(
          fmt::format("{}: {} is {}, expected a number from 0 on", where, name, found->dump()));
    }
    limits.*value = found->get<double>() * kGiga;
  }
  return limits;
}

PassCost pass_cost(const Model& model, DType compute_dtype, const WeightFormat& format) {
  ModelParameters parameters = model.parameters(1, 0);
  if (format.coded()) {
    const std::map<std::string, std::int64_t> coded = codable_parameters(parameters);
    for (UnitSpec& unit : parameters.units) {
      for (MatrixSpec& matrix : unit.matrices) {
        if (matrix.layout == MatrixLayout::panels &&
            coded.contains(matrix.parts.front().parameter)) {
          matrix.shape.format = format;
        }
      }
    }
  }
  return pass_cost(model, parameters, 1, compute_dtype);
}

PassCost pass_cost(const Model& model, const ModelParameters& parameters, int tp_size,
                   DType compute_dtype, double expert_share) {
  constexpr std::int64_t kLong = 4096;  // whole pages of the KV cache
  PassCost cost;
  for (std::size_t unit = 0; unit < parameters.units.size(); ++unit) {
    for (const MatrixSpec& matrix : parameters.units[unit].matrices) {
      if (matrix.layout != MatrixLayout::panels) continue;  // an embedding: looked up
      const MatrixShape& shape = matrix.shape;
      const auto elements = static_cast<double>(shape.outputs * shape.inputs);
      const bool of_expert = matrix.name.find("experts.") != std::string::npos;
      const double operations = 2 * elements * (of_expert ? expert_share : 1);
      if (shape.format.coded()) {
        cost.weight_bytes +=
            static_cast<double>(shape.outputs * (code_bytes(shape.format.codes, shape.inputs) +
                                                 shape.groups() * kScaleBytes));
        cost.coded_op_of_row += operations;
        continue;
      }
      cost.weight_bytes += elements * static_cast<double>(size_of(compute_dtype));
      cost.flop_of_row += operations;
      // The head is the last unit.
      if (unit + 1 < parameters.units.size()) cost.flop_of_inner_row += operations;
    }
  }
  // States that grow with a row are read; the others are read and written.
  const auto state_at = [&](std::int64_t length) {
    return static_cast<double>(model.state_bytes_per_slot(tp_size, length, compute_dtype));
  };
  cost.cache_bytes_of_token = (state_at(2 * kLong) - state_at(kLong)) / kLong;
  cost.state_bytes_of_row = 2 * (state_at(kLong) - kLong * cost.cache_bytes_of_token);
  return cost;
}

DecodeBound decode_bound(const PassCost& cost, const MachineLimits& limits, DType compute_dtype,
                         int rows, double context) {
  const auto all = static_cast<double>(rows);
  return pass_bound(cost, limits, compute_dtype,
                    {.tokens = all, .drawn = all, .rows = all, .context = all * context});
}

DecodeBound pass_bound(const PassCost& cost, const MachineLimits& limits, DType compute_dtype,
                       const PassFeed& feed) {
  const double head = cost.flop_of_row - cost.flop_of_inner_row;
  return {.moving_s = (cost.weight_bytes + feed.context * cost.cache_bytes_of_token) /
                          limits.read_bytes_per_s +
                      feed.rows * cost.state_bytes_of_row / limits.update_bytes_per_s,
          .multiplying_s = (feed.tokens * cost.flop_of_inner_row + feed.drawn * head) /
                               flop_rate(limits, compute_dtype) +
                           feed.tokens * coded_seconds(cost, limits)};
}

double prefill_bound_s(const PassCost& cost, const MachineLimits& limits, DType compute_dtype,
                       int tokens) {
  return ((tokens - 1) * cost.flop_of_inner_row + cost.flop_of_row) /
             flop_rate(limits, compute_dtype) +
         tokens * coded_seconds(cost, limits);
}

}  // namespace gridmill
