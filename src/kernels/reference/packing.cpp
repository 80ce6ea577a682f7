#include <cstring>

#include "gridmill/base/check.hpp"
#include "kernels/reference/coded.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/row_elements.hpp"

namespace gridmill::reference {

namespace {

/// Writes element `index` of a panel in the compute dtype.
void store(std::byte* panel, DType compute_dtype, std::int64_t index, float value) {
  std::byte* target = panel + static_cast<std::size_t>(index) * size_of(compute_dtype);
  if (compute_dtype == DType::fp32) {
    std::memcpy(target, &value, sizeof value);
  } else {
    const Bf16 half = rounded_bf16(value);
    std::memcpy(target, &half, sizeof half);
  }
}

}  // namespace

std::int64_t ReferenceBackend::panel_outputs() const { return kPanelOutputs; }

std::size_t panel_bytes_of(const MatrixShape& shape, MatrixLayout layout, DType compute_dtype) {
  if (shape.format.coded()) return coded_panel_bytes(shape);
  const std::int64_t elements = layout == MatrixLayout::rows
                                    ? shape.inputs
                                    : padded_inputs(shape.inputs, compute_dtype) * kPanelOutputs;
  return static_cast<std::size_t>(elements) * size_of(compute_dtype);
}

std::size_t ReferenceBackend::panel_bytes(const MatrixShape& shape, MatrixLayout layout) const {
  return panel_bytes_of(shape, layout, dtype_);
}

bool ReferenceBackend::holds(const WeightFormat& format) const {
  return int8_products_ || !format.coded();
}

void ReferenceBackend::pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                                  std::span<const std::byte* const> lanes,
                                  std::span<std::byte> panel) const {
  const std::int64_t outputs = layout == MatrixLayout::rows ? 1 : kPanelOutputs;
  GRIDMILL_ASSERT(static_cast<std::int64_t>(lanes.size()) == outputs,
                  "a panel has " + std::to_string(outputs) + " lanes");
  GRIDMILL_ASSERT(panel.size() == panel_bytes(shape, layout), "wrong size for a panel");
  if (!panel.empty()) std::memset(panel.data(), 0, panel.size());
  if (shape.format.coded()) {
    GRIDMILL_ASSERT(layout == MatrixLayout::panels, "a table of rows cannot hold codes");
    return pack_coded_panel(shape, lanes, panel);
  }
  for (std::int64_t lane = 0; lane < outputs; ++lane) {
    const std::byte* row = lanes[static_cast<std::size_t>(lane)];
    if (row == nullptr) continue;
    for (std::int64_t k = 0; k < shape.inputs; ++k) {
      store(panel.data(), dtype_, k * outputs + lane,
            kernels_detail::element_of_row(row, dtype, k));
    }
  }
}

std::size_t ReferenceBackend::packed_bytes(std::int64_t rows, std::int64_t inputs) const {
  return static_cast<std::size_t>(rows * padded_inputs(inputs, dtype_)) * sizeof(float);
}

void ReferenceBackend::pack_rows(Stream& /*stream*/, std::span<const ConstDeviceMatrix> x,
                                 PackedRows out) {
  const FloatModeScope mode(dtype_);
  std::int64_t first = 0;
  for (const ConstDeviceMatrix& part : x) {
    GRIDMILL_ASSERT(part.rows == out.rows, "all sources need the rows of the result");
    for (std::int64_t row = 0; row < out.rows; ++row) {
      write_packed(out, row, first, part.data + row * part.stride, part.columns, dtype_);
    }
    first += part.columns;
  }
  GRIDMILL_ASSERT(first == out.inputs, "sources have " + std::to_string(first) +
                                           " columns in all, the result " +
                                           std::to_string(out.inputs));
}

}  // namespace gridmill::reference
