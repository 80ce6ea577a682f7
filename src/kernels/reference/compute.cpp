#include "kernels/reference/compute.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "kernels/reference/coded.hpp"

namespace gridmill::reference {

Bf16 rounded_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7F800000U) == 0) return static_cast<Bf16>((bits >> 16) & 0x8000U);
  return fp32_to_bf16(value);
}

float rounded(float value, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? bf16_to_fp32(rounded_bf16(value)) : value;
}

const float* packed_row(const PackedRows& x, std::int64_t row, DType compute_dtype) {
  return reinterpret_cast<const float*>(x.data) + row * padded_inputs(x.inputs, compute_dtype);
}

void write_packed(const PackedRows& out, std::int64_t row, std::int64_t first, const float* values,
                  std::int64_t size, DType compute_dtype) {
  const std::int64_t stride = padded_inputs(out.inputs, compute_dtype);
  float* target = reinterpret_cast<float*>(out.data) + row * stride;
  for (std::int64_t i = 0; i < size; ++i) target[first + i] = rounded(values[i], compute_dtype);
  for (std::int64_t i = out.inputs; i < stride; ++i) target[i] = 0.0F;
}

Lanes panel_product(const MatrixShape& shape, const float* x, const std::byte* panel,
                    std::int64_t first, std::int64_t count, DType compute_dtype) {
  if (shape.format.coded()) return coded_product(shape, x, panel, first, count);
  Lanes sums{};
  if (compute_dtype == DType::bf16) {
    fma_loops().panel_bf16(x + first, reinterpret_cast<const Bf16*>(panel) + first * kPanelOutputs,
                           padded_inputs(count, compute_dtype), sums.data());
  } else {
    fma_loops().panel_fp32(x + first, reinterpret_cast<const float*>(panel) + first * kPanelOutputs,
                           count, sums.data());
  }
  return sums;
}

const std::byte* panel_of(const Weight& w, std::int64_t index) {
  const std::byte* panel = w.panel(index);
  GRIDMILL_ASSERT(panel != nullptr || w.panel_bytes == 0,
                  "panel " + std::to_string(index) + " of the weight is not held");
  return panel;
}

void check_product(const PackedRows& x, const Weight& w, Fuse fuse, DType compute_dtype) {
  GRIDMILL_ASSERT(w.layout == MatrixLayout::panels, "a product needs a weight in panels");
  GRIDMILL_ASSERT(w.fuse == fuse, "the weight's panels have another order");
  GRIDMILL_ASSERT(x.inputs == w.shape.inputs, "rows have " + std::to_string(x.inputs) +
                                                  " inputs, the weight " +
                                                  std::to_string(w.shape.inputs));
  GRIDMILL_ASSERT(w.panel_bytes == panel_bytes_of(w.shape, w.layout, compute_dtype),
                  "the weight was prepared for another backend, shape or compute dtype");
}

void check_bias(ConstDeviceVector bias, std::int64_t outputs) {
  GRIDMILL_ASSERT(bias.empty() || bias.size == outputs, "bias has " + std::to_string(bias.size) +
                                                            " elements for " +
                                                            std::to_string(outputs) + " outputs");
}

void add_bias(Lanes& sums, ConstDeviceVector bias, std::int64_t first) {
  const std::int64_t count = std::min(kPanelOutputs, bias.size - first);
  for (std::int64_t l = 0; l < count; ++l) {
    sums[static_cast<std::size_t>(l)] += bias.data[first + l];
  }
}

void normalize(const Norm& norm, const float* x, std::int64_t size, float* out) {
  const auto n = static_cast<float>(size);
  float mean = 0.0F;
  if (norm.kind == NormKind::layer) {
    mean = lane_sum({x, static_cast<std::size_t>(size)}) / n;
    for (std::int64_t i = 0; i < size; ++i) out[i] = x[i] - mean;
    x = out;
  }
  Lanes squares{};
  fma_loops().lanes_of_products(x, x, size, squares);
  const float r = 1.0F / std::sqrt(lane_tree_sum(squares) / n + norm.eps);
  for (std::int64_t i = 0; i < size; ++i) {
    const float scaled = x[i] * r;
    if (norm.weight.empty()) {
      out[i] = scaled * norm.scale;
    } else if (norm.bias.empty()) {
      out[i] = scaled * norm.weight.data[i] * norm.scale;
    } else {
      out[i] = std::fma(scaled, norm.weight.data[i], norm.bias.data[i]) * norm.scale;
    }
  }
}

float larger(float a, float b) {
  if (std::isnan(a)) return a;
  return std::isnan(b) || b > a ? b : a;
}

}  // namespace gridmill::reference
