#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

inline constexpr int kMostQkDim = 512;  ///< query and key dimensions of a head that kernels hold

/// The states of one layer: slot s, head h is the (s * slot_heads + layer_head + h)-th head.
struct MlstmMemory {
  float* c = nullptr;           ///< [dqk][dv] of every head
  float* n = nullptr;           ///< [dqk] of every head
  float* m = nullptr;           ///< one of every head
  std::int64_t slot_heads = 0;  ///< heads of all layers
  std::int64_t layer_head = 0;  ///< first head of this layer
  bool operator==(const MlstmMemory& other) const = default;
};

struct MlstmArgs {
  Mlstm mlstm;
  const TokenSpan* spans = nullptr;  ///< on the device
  int span_count = 0;
  ConstDeviceMatrix inputs;
  MlstmMemory state;
  /// Scratch, for every row and head: [dqk] scaled queries, [dqk] gated keys, the forget factor and
  /// the denominator.
  float* factors = nullptr;
  DeviceMatrix h;      ///< [rows, H dv]: scratch, and the result of mlstm_unpacked
  PackedRows packed;   ///< result of mlstm
  bool gated = false;  ///< multiply by the output gate
  bool unpacked = false;
  bool operator==(const MlstmArgs& other) const = default;
};

/// Floats of `factors` for one row and head.
[[nodiscard]] constexpr std::int64_t mlstm_factors(int qk_dim) { return 2 * qk_dim + 2; }

/// Advances the states token by token: C is read and written once a call, whatever the number of
/// tokens, and read out on the way. The order of every sum is fixed by the shape.
void launch_mlstm(LaunchStream stream, DType compute_dtype, const MlstmArgs& args);

}  // namespace gridmill::cuda
