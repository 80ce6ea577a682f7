#include <cmath>
#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::reference {

using kernels_detail::check_scale_add;

namespace {

float element(const std::byte* values, std::int64_t index, DType dtype) {
  return dtype == DType::bf16 ? bf16_to_fp32(reinterpret_cast<const Bf16*>(values)[index])
                              : reinterpret_cast<const float*>(values)[index];
}

void check_norm(const Norm& norm, std::int64_t size) {
  GRIDMILL_ASSERT(norm.weight.empty() || norm.weight.size == size, "wrong size of a norm's weight");
  GRIDMILL_ASSERT(norm.bias.empty() || norm.bias.size == size, "wrong size of a norm's bias");
  GRIDMILL_ASSERT(norm.bias.empty() || !norm.weight.empty(), "a norm with bias needs a weight");
}

}  // namespace

void ReferenceBackend::embed(Stream& /*stream*/, const Weight& table, std::int64_t first_id,
                             std::span<const TokenId> ids, DeviceMatrix out) {
  GRIDMILL_ASSERT(
      out.rows == static_cast<std::int64_t>(ids.size()) && out.columns == table.shape.inputs,
      "wrong shape of the embedding rows");
  GRIDMILL_ASSERT(table.fuse == Fuse::concatenate, "an embedding table has one part");
  const bool plain = table.layout == MatrixLayout::rows;
  const std::int64_t width = plain ? 1 : kPanelOutputs;
  for (std::int64_t row = 0; row < out.rows; ++row) {
    const std::int64_t index = ids[static_cast<std::size_t>(row)] - first_id;
    if (index < 0 || index >= table.shape.outputs) continue;
    const std::byte* panel = table.panel(index / width);
    if (panel == nullptr) continue;
    for (std::int64_t k = 0; k < out.columns; ++k) {
      out.data[row * out.stride + k] = element(panel, k * width + index % width, dtype_);
    }
  }
}

void ReferenceBackend::norm_pack(Stream& /*stream*/, ConstDeviceMatrix x, const Norm& norm,
                                 std::span<const std::int64_t> rows, PackedRows out) {
  check_norm(norm, x.columns);
  const std::int64_t count = rows.empty() ? x.rows : static_cast<std::int64_t>(rows.size());
  GRIDMILL_ASSERT(out.rows == count && out.inputs == x.columns, "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  std::vector<float> normalized(static_cast<std::size_t>(x.columns));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = rows.empty() ? i : rows[static_cast<std::size_t>(i)];
    GRIDMILL_ASSERT(row >= 0 && row < x.rows, "no such row");
    normalize(norm, x.data + row * x.stride, x.columns, normalized.data());
    write_packed(out, i, 0, normalized.data(), x.columns, dtype_);
  }
}

void ReferenceBackend::norm_add(Stream& /*stream*/, ConstDeviceMatrix y, const Norm& norm,
                                DeviceMatrix x) {
  check_norm(norm, y.columns);
  GRIDMILL_ASSERT(x.rows == y.rows && x.columns == y.columns, "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  std::vector<float> normalized(static_cast<std::size_t>(y.columns));
  for (std::int64_t row = 0; row < y.rows; ++row) {
    normalize(norm, y.data + row * y.stride, y.columns, normalized.data());
    float* target = x.data + row * x.stride;
    for (std::int64_t i = 0; i < y.columns; ++i) {
      target[i] = target[i] + normalized[static_cast<std::size_t>(i)];
    }
  }
}

void ReferenceBackend::norm_rows(Stream& /*stream*/, ConstDeviceMatrix x, const Norm& norm,
                                 DeviceMatrix out) {
  check_norm(norm, x.columns);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    normalize(norm, x.data + row * x.stride, x.columns, out.data + row * out.stride);
  }
}

void ReferenceBackend::scale_add(Stream& /*stream*/, float x_scale, ConstDeviceMatrix y,
                                 float y_scale, DeviceMatrix x) {
  check_scale_add(y, x);
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    float* to = x.data + row * x.stride;
    for (std::int64_t i = 0; i < x.columns; ++i) {
      const float scaled = x_scale * to[i];
      to[i] = y.data == nullptr ? scaled : std::fma(y_scale, y.data[row * y.stride + i], scaled);
    }
  }
}

}  // namespace gridmill::reference
