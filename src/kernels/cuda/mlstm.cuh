// Shared code of the kernels of the mLSTM: offsets of inputs, states and factors.
#pragma once

#include <cuda_platform.hpp>

#include "kernels/cuda/mlstm.hpp"

namespace gridmill::cuda {

/// First columns of the inputs, behind the queries.
struct MlstmColumns {
  int k;
  int v;
  int o;
  int input_gate;
  int forget_gate;
};

GRIDMILL_DEVICE MlstmColumns columns_of(const Mlstm& mlstm) {
  MlstmColumns at{};
  at.k = mlstm.heads * mlstm.qk_dim;
  at.v = 2 * at.k;
  at.o = at.v + mlstm.heads * mlstm.v_dim;
  at.input_gate = at.o + (mlstm.output_gate ? mlstm.heads * mlstm.v_dim : 0);
  at.forget_gate = at.input_gate + mlstm.heads;
  return at;
}

GRIDMILL_DEVICE std::int64_t state_head(const MlstmMemory& state, SlotId slot, int head) {
  return slot * state.slot_heads + state.layer_head + head;
}

/// The forget gate, the input gate and m after the token, as they stand in memory.
struct alignas(16) MlstmGates {
  float forget;
  float input;
  float m;
  float unused;
};

/// How the elements of a head are cut into parts.
struct MlstmParts {
  int room;
  int rows;  ///< of every part, but for the last ones
};

GRIDMILL_DEVICE MlstmParts parts_of(int qk_dim) {
  return {mlstm_part_room(qk_dim), (qk_dim + kMlstmParts - 1) / kMlstmParts};
}

/// Where element `a` stands among parts with their room.
GRIDMILL_DEVICE int place_of(const MlstmParts& parts, int a) {
  if (parts.room == parts.rows) return a;
  return a / parts.rows * parts.room + a % parts.rows;
}

/// The factors of one row and head.
struct MlstmFactors {
  float* q;
  float* k;
  float* n;
  MlstmGates* gates;
};

GRIDMILL_DEVICE MlstmFactors factors_of(const MlstmArgs& args, std::int64_t row, int head,
                                        int part_room) {
  const int room = kMlstmParts * part_room;
  float* first = args.factors + (row * args.mlstm.heads + head) * (3 * room + 4);
  return {first, first + room, first + 2 * room, reinterpret_cast<MlstmGates*>(first + 3 * room)};
}

/// Gates and m; queries and keys.
void launch_mlstm_factors(LaunchStream stream, const MlstmArgs& args);
/// C, n, and the sums of h.
void launch_mlstm_cell(LaunchStream stream, const MlstmArgs& args);
/// h over its denominator, the head norm and the output gate.
void launch_mlstm_readout(LaunchStream stream, DType compute_dtype, const MlstmArgs& args);

}  // namespace gridmill::cuda
