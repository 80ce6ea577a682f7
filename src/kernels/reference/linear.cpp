#include <algorithm>

#include "gridmill/base/check.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace gridmill::reference {

namespace {

/// Calls finish(row, first output, count, sums) for every row and panel; sums hold biases already.
template <typename Finish>
void for_each_panel(const PackedRows& x, const Weight& w, ConstDeviceVector bias, DType dtype,
                    Finish finish) {
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const float* inputs = packed_row(x, row, dtype);
    for (std::int64_t first = 0; first < w.shape.outputs; first += kPanelOutputs) {
      const std::int64_t count = std::min(kPanelOutputs, w.shape.outputs - first);
      Lanes sums = panel_product(w.shape, inputs, panel_of(w, first / kPanelOutputs), 0,
                                 w.shape.inputs, dtype);
      add_bias(sums, bias, first);
      finish(row, first, count, sums);
    }
  }
}

}  // namespace

void ReferenceBackend::linear(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                              ConstDeviceVector bias, float soft_cap, DeviceMatrix out) {
  check_product(x, w, Fuse::concatenate, dtype_);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == w.shape.outputs,
                  "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  for_each_panel(x, w, bias, dtype_,
                 [&](std::int64_t row, std::int64_t first, std::int64_t count, const Lanes& sums) {
                   float* target = out.data + row * out.stride + first;
                   for (std::int64_t l = 0; l < count; ++l) {
                     target[l] = soft_cap_f32(sums[static_cast<std::size_t>(l)], soft_cap);
                   }
                 });
}

void ReferenceBackend::linear_activated(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                        ConstDeviceVector bias, Activation activation,
                                        PackedRows out) {
  check_product(x, w, Fuse::concatenate, dtype_);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(out.rows == x.rows && out.inputs == w.shape.outputs, "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  for_each_panel(x, w, bias, dtype_,
                 [&](std::int64_t row, std::int64_t first, std::int64_t count, Lanes& sums) {
                   for (float& sum : sums) sum = activate_f32(activation, sum);
                   write_packed(out, row, first, sums.data(), count, dtype_);
                 });
}

void ReferenceBackend::linear_gated(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                    ConstDeviceVector bias, Activation activation, PackedRows out) {
  check_product(x, w, Fuse::interleave, dtype_);
  check_bias(bias, w.shape.outputs);
  const std::int64_t width = w.shape.outputs / 2;
  GRIDMILL_ASSERT(w.shape.outputs == 2 * width && out.rows == x.rows && out.inputs == width,
                  "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const float* inputs = packed_row(x, row, dtype_);
    for (std::int64_t first = 0; first < width; first += kPanelOutputs) {
      const std::int64_t pair = first / kPanelOutputs;
      Lanes gate = panel_product(w.shape, inputs, panel_of(w, 2 * pair), 0, x.inputs, dtype_);
      Lanes up = panel_product(w.shape, inputs, panel_of(w, 2 * pair + 1), 0, x.inputs, dtype_);
      const std::int64_t count = std::min(kPanelOutputs, width - first);
      for (std::int64_t l = 0; l < count; ++l) {
        const auto lane = static_cast<std::size_t>(l);
        if (!bias.empty()) {
          gate[lane] += bias.data[first + l];
          up[lane] += bias.data[width + first + l];
        }
        gate[lane] = activate_f32(activation, gate[lane]) * up[lane];
      }
      write_packed(out, row, first, gate.data(), count, dtype_);
    }
  }
}

}  // namespace gridmill::reference
