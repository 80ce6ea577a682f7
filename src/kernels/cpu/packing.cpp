#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/bf16_rounding.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"

namespace gridmill::cpu {

namespace {

/// Inputs that are converted at a time: 48 lanes x 64 inputs x 4 bytes = 12 KiB stay in L1 while
/// they are turned round.
constexpr std::int64_t kTileInputs = 64;

std::int64_t padded_inputs(std::int64_t inputs, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? (inputs + 1) / 2 * 2 : inputs;
}

/// Elements [first, first + count) of a row, in fp32. Rows may be unaligned.
void widen(const std::byte* row, DType dtype, std::int64_t first, std::int64_t count, float* out) {
  const std::byte* from = row + static_cast<std::size_t>(first) * size_of(dtype);
  if (dtype == DType::fp32) {
    std::memcpy(out, from, static_cast<std::size_t>(count) * sizeof(float));
    return;
  }
  std::array<std::uint16_t, kTileInputs> halves;
  std::memcpy(halves.data(), from, static_cast<std::size_t>(count) * sizeof(std::uint16_t));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint16_t half = halves[static_cast<std::size_t>(i)];
    out[i] = dtype == DType::bf16 ? bf16_to_fp32(half) : fp16_to_fp32(half);
  }
}

/// Inputs [first, first + count) of every lane, into a panel of fp32: [k][48].
void pack_tile_fp32(const float (&tile)[kPanelOutputs][kTileInputs], std::int64_t count,
                    std::byte* panel) {
  auto* out = reinterpret_cast<float*>(panel);
  for (std::int64_t k = 0; k < count; ++k) {
    for (int lane = 0; lane < kPanelOutputs; ++lane) out[k * kPanelOutputs + lane] = tile[lane][k];
  }
}

/// The same of bf16: [k / 2][48][2]; `count` may be odd: the missing element is 0.
void pack_tile_bf16(const float (&tile)[kPanelOutputs][kTileInputs], std::int64_t count,
                    std::byte* panel) {
  auto* out = reinterpret_cast<std::uint32_t*>(panel);
  for (std::int64_t pair = 0; 2 * pair < count; ++pair) {
    const bool whole = 2 * pair + 1 < count;
    for (int lane = 0; lane < kPanelOutputs; ++lane) {
      const std::uint32_t low = rounded_bf16(tile[lane][2 * pair]);
      const std::uint32_t high = whole ? rounded_bf16(tile[lane][2 * pair + 1]) : Bf16{0};
      out[pair * kPanelOutputs + lane] = low | high << 16U;
    }
  }
}

}  // namespace

std::size_t CpuBackend::panel_bytes(const MatrixShape& shape, MatrixLayout layout) const {
  const std::int64_t elements = layout == MatrixLayout::rows
                                    ? shape.inputs
                                    : padded_inputs(shape.inputs, dtype_) * kPanelOutputs;
  return static_cast<std::size_t>(elements) * size_of(dtype_);
}

std::size_t CpuBackend::packed_bytes(std::int64_t rows, std::int64_t inputs) const {
  return static_cast<std::size_t>(rows * padded_inputs(inputs, dtype_)) * size_of(dtype_);
}

void CpuBackend::pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                            std::span<const std::byte* const> lanes,
                            std::span<std::byte> panel) const {
  const std::size_t outputs = layout == MatrixLayout::rows ? 1 : kPanelOutputs;
  GRIDMILL_ASSERT(lanes.size() == outputs, "a panel has " + std::to_string(outputs) + " lanes");
  GRIDMILL_ASSERT(panel.size() == panel_bytes(shape, layout), "wrong size for a panel");
  alignas(64) float tile[kPanelOutputs][kTileInputs];
  for (std::int64_t first = 0; first < shape.inputs; first += kTileInputs) {
    const std::int64_t count = std::min(kTileInputs, shape.inputs - first);
    for (std::size_t lane = 0; lane < outputs; ++lane) {
      if (lanes[lane] == nullptr) {
        std::fill_n(tile[lane], kTileInputs, 0.0F);
      } else {
        widen(lanes[lane], dtype, first, count, tile[lane]);
      }
    }
    // kTileInputs is even, so a tile starts at a whole pair.
    std::byte* target = panel.data() + static_cast<std::size_t>(first) * outputs * size_of(dtype_);
    if (layout == MatrixLayout::panels) {
      dtype_ == DType::bf16 ? pack_tile_bf16(tile, count, target)
                            : pack_tile_fp32(tile, count, target);
    } else if (dtype_ == DType::bf16) {
      for (std::int64_t k = 0; k < count; ++k) {
        const Bf16 half = rounded_bf16(tile[0][k]);
        std::memcpy(target + 2 * k, &half, sizeof half);
      }
    } else {
      std::memcpy(target, tile[0], static_cast<std::size_t>(count) * sizeof(float));
    }
  }
}

}  // namespace gridmill::cpu
