#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gridmill/base/device.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::reference {

/// State of one head of one layer of one slot.
struct MlstmHeadState {
  float* c = nullptr;  ///< [dqk][dv]
  float* n = nullptr;  ///< [dqk]
  float* m = nullptr;
};

/// Plain array [slot][layer][head] of C, n, m: a slot is already in canonical form.
class ReferenceMlstmState final : public MlstmState {
 public:
  /// Floats of the whole array.
  [[nodiscard]] static std::size_t values(const MlstmStateShape& shape);
  ReferenceMlstmState(const MlstmStateShape& shape, Buffer memory);

  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;

  [[nodiscard]] const MlstmStateShape& shape() const { return shape_; }
  [[nodiscard]] MlstmHeadState head(int layer, SlotId slot, int head) const;

 private:
  /// All floats of a slot.
  [[nodiscard]] std::span<float> slot_floats(SlotId slot) const;

  MlstmStateShape shape_;
  Buffer memory_;
};

}  // namespace gridmill::reference
