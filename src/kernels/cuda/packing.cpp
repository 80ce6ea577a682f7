#include <cstring>

#include "gridmill/base/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/row_elements.hpp"

namespace gridmill::cuda {

std::size_t CudaBackend::panel_bytes(const MatrixShape& shape, MatrixLayout layout) const {
  const std::int64_t elements =
      layout == MatrixLayout::rows ? shape.inputs : padded_inputs(shape.inputs) * kPanelOutputs;
  return static_cast<std::size_t>(elements) * size_of(dtype_);
}

void CudaBackend::pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                             std::span<const std::byte* const> lanes,
                             std::span<std::byte> panel) const {
  const std::int64_t outputs = layout == MatrixLayout::rows ? 1 : kPanelOutputs;
  GRIDMILL_ASSERT(static_cast<std::int64_t>(lanes.size()) == outputs,
                  "a panel has " + std::to_string(outputs) + " lanes");
  GRIDMILL_ASSERT(panel.size() == panel_bytes(shape, layout), "wrong size for a panel");
  const std::size_t row_bytes = panel.size() / static_cast<std::size_t>(outputs);
  if (!panel.empty()) std::memset(panel.data(), 0, panel.size());
  for (std::int64_t lane = 0; lane < outputs; ++lane) {
    const std::byte* row = lanes[static_cast<std::size_t>(lane)];
    std::byte* target = panel.data() + static_cast<std::size_t>(lane) * row_bytes;
    if (row == nullptr) continue;
    if (dtype == dtype_) {
      std::memcpy(target, row, static_cast<std::size_t>(shape.inputs) * size_of(dtype));
      continue;
    }
    for (std::int64_t k = 0; k < shape.inputs; ++k) {
      const float value = kernels_detail::element_of_row(row, dtype, k);
      if (dtype_ == DType::fp32) {
        std::memcpy(target + k * 4, &value, sizeof value);
      } else {
        const Bf16 half = fp32_to_bf16(value);
        std::memcpy(target + k * 2, &half, sizeof half);
      }
    }
  }
}

std::size_t CudaBackend::packed_bytes(std::int64_t rows, std::int64_t inputs) const {
  return static_cast<std::size_t>(rows * padded_inputs(inputs)) * size_of(dtype_);
}

}  // namespace gridmill::cuda
