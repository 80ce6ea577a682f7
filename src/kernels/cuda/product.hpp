#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/panels.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// Epilogue of a product.
enum class Epilogue : std::uint8_t {
  plain,      ///< out = cap(sum + bias)
  activated,  ///< packed = act(sum + bias)
  gated,      ///< packed = act(gate + bias) * (up + bias); panels alternate gate, up
  joined,     ///< out = (out +) (sum + bias): a row-parallel product
  /// Sums are not joined: out[b][rows[r]] = fma(weights[r], sum of block b (+ bias), out[...]).
  weighted,
};

struct ProductArgs {
  PackedRows x;
  PanelTable weight;
  std::int64_t outputs = 0;  ///< gated: of gate and up each
  /// The inputs are cut into `blocks` blocks of `block_inputs` (even), the last ones shorter or
  /// empty; each is a sum of its own, and they join as a balanced tree. A power of two, at most 8.
  int blocks = 8;
  std::int64_t block_inputs = 0;
  Epilogue epilogue = Epilogue::plain;
  ConstDeviceVector bias;
  float soft_cap = 0;
  Activation activation = Activation::identity;
  bool accumulate = false;
  DeviceMatrix out;
  PackedRows packed_out;
  float gate_limit = 0;  ///< gated: ExpertGate::limit
  // For `weighted`; one entry a row, on the device.
  const std::int64_t* rows = nullptr;
  const float* weights = nullptr;
  std::int64_t block_rows = 0;  ///< rows of `out` from block to block
  bool operator==(const ProductArgs& other) const = default;
};

/// Inputs per block of a matrix that is not row-parallel: 8 blocks of whole steps of the kernel.
[[nodiscard]] constexpr std::int64_t product_block_inputs(std::int64_t inputs) {
  constexpr std::int64_t kStep = 32;
  return ((inputs + 7) / 8 + kStep - 1) / kStep * kStep;
}

/// A row's result depends on its own inputs only, however many rows there are.
void launch_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args);
/// The same for Epilogue::weighted, which no tiled product has.
void launch_weighted_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args);
/// Local memory of a thread of launch_tiled_product. The device sets it aside for all threads that
/// it can hold when it is first called.
inline constexpr std::size_t kTiledLocalBytes = 1024;
/// The same bits, for many rows at once: launch_product chooses.
void launch_tiled_product(LaunchStream stream, DType compute_dtype, const ProductArgs& args);

}  // namespace gridmill::cuda
