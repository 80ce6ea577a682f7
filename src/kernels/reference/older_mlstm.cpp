#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace gridmill::reference {

void ReferenceBackend::channel_affine(Stream& /*stream*/, ConstDeviceMatrix x,
                                      ConstDeviceVector weight, ConstDeviceVector bias,
                                      Activation activation, DeviceMatrix out) {
  GRIDMILL_ASSERT(weight.size == x.columns && (bias.empty() || bias.size == x.columns),
                  "weight and bias have one element a column");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t i = 0; i < x.columns; ++i) {
      float value = x.data[row * x.stride + i] * weight.data[i];
      if (!bias.empty()) value = value + bias.data[i];
      out.data[row * out.stride + i] = activate_f32(activation, value);
    }
  }
}

void ReferenceBackend::block_diagonal(Stream& /*stream*/, ConstDeviceMatrix x,
                                      ConstDeviceVector blocks, std::int64_t groups,
                                      DeviceMatrix out) {
  GRIDMILL_ASSERT(groups > 0 && x.columns % groups == 0 && out.columns % groups == 0,
                  "groups have to divide inputs and outputs");
  const std::int64_t group_inputs = x.columns / groups;
  const std::int64_t group_outputs = out.columns / groups;
  GRIDMILL_ASSERT(blocks.size == out.columns * group_inputs && out.rows == x.rows,
                  "blocks are [groups, outputs / groups, inputs / groups]");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t o = 0; o < out.columns; ++o) {
      const float* inputs = x.data + row * x.stride + o / group_outputs * group_inputs;
      out.data[row * out.stride + o] =
          fma_loops().dot_fp32(inputs, blocks.data + o * group_inputs, group_inputs);
    }
  }
}

void ReferenceBackend::skip_gate_pack(Stream& /*stream*/, ConstDeviceMatrix h,
                                      ConstDeviceVector skip, ConstDeviceMatrix a,
                                      ConstDeviceMatrix z, Activation activation, PackedRows out) {
  const std::int64_t width = h.columns;
  GRIDMILL_ASSERT(
      skip.size == width && a.columns == width && z.columns == width && out.inputs == width,
      "all inputs have the same columns");
  GRIDMILL_ASSERT(a.rows == h.rows && z.rows == h.rows && out.rows == h.rows,
                  "all inputs have the same rows");
  const FloatModeScope mode(dtype_);
  std::vector<float> values(static_cast<std::size_t>(width));
  for (std::int64_t row = 0; row < h.rows; ++row) {
    for (std::int64_t i = 0; i < width; ++i) {
      const float sum = h.data[row * h.stride + i] + skip.data[i] * a.data[row * a.stride + i];
      values[static_cast<std::size_t>(i)] =
          sum * activate_f32(activation, z.data[row * z.stride + i]);
    }
    write_packed(out, row, 0, values.data(), width, dtype_);
  }
}

}  // namespace gridmill::reference
