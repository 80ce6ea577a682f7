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
  std::int32_t longest = 0;  ///< tokens of the longest span
  ConstDeviceMatrix inputs;
  MlstmMemory state;
  float* factors = nullptr;  ///< scratch, mlstm_factors() floats for every row and head
  DeviceMatrix h;            ///< [rows, H dv]: scratch, and the result of mlstm_unpacked
  PackedRows packed;         ///< result of mlstm
  bool gated = false;        ///< multiply by the output gate
  bool unpacked = false;
  bool operator==(const MlstmArgs& other) const = default;
};

/// A head's queries, keys and n are cut into 8 parts, each of them one of the sums that the tree of
/// h joins. Part p has elements [p, p + 1) * ceil(dqk / 8), as far as there are so many.
inline constexpr int kMlstmParts = 8;

/// Room for a part, in floats: 8, 16, 32 or 64.
[[nodiscard]] constexpr int mlstm_part_room(int qk_dim) {
  int room = 8;
  while (kMlstmParts * room < qk_dim) room *= 2;
  return room;
}

/// Floats of `factors` for one row and head: scaled queries, gated keys and n, each of them 8 parts
/// with their room; then the forget gate, the input gate, m and one unused.
[[nodiscard]] constexpr std::int64_t mlstm_factors(int qk_dim) {
  return 3 * kMlstmParts * mlstm_part_room(qk_dim) + 4;
}

/// Advances the states token by token: C is read and written once a call, whatever the number of
/// tokens, and read out on the way. The order of every sum is fixed by the shape.
void launch_mlstm(LaunchStream stream, DType compute_dtype, const MlstmArgs& args);

}  // namespace gridmill::cuda
