#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/kernels/state.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/mlstm.hpp"

namespace gridmill::cuda {

/// Three arrays, [slot][layer][head] each: C [dqk][dv], n [dqk], m. Rows of C stay aligned so that
/// a warp reads whole lines.
class CudaMlstmState final : public MlstmState {
 public:
  [[nodiscard]] static std::size_t memory_bytes(const MlstmStateShape& shape);
  /// `memory` of memory_bytes(), zero.
  CudaMlstmState(const MlstmStateShape& shape, Buffer memory);

  /// The slot is cleared by the next pass that works on any of them, without waiting.
  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;
  /// As reset(): the next pass copies.
  void fork(SlotId from, SlotId to, std::int64_t length) override;

  [[nodiscard]] const MlstmStateShape& shape() const { return shape_; }
  /// As kernels of `stream` see it, what reset() asked for included.
  [[nodiscard]] MlstmMemory layer(int layer, CudaStream& stream);

 private:
  /// Head `head` of all layers and slots: C, n, m.
  [[nodiscard]] std::size_t slot_heads() const;
  [[nodiscard]] std::size_t head_c() const;
  void check(SlotId slot, std::size_t floats) const;
  void fill_slots(StreamHandle stream);
  /// Calls move(first float on the device, count, first float in canonical form).
  template <typename Move>
  void for_each_part(SlotId slot, Move move) const;

  MlstmStateShape shape_;
  Buffer memory_;
  float* c_;
  float* n_;
  float* m_;
  /// A slot that the next pass fills: with zeros, or with what another one holds by then.
  struct Filling {
    SlotId slot = 0;
    SlotId from = -1;
  };
  std::vector<Filling> to_fill_;  ///< in order
};

}  // namespace gridmill::cuda
