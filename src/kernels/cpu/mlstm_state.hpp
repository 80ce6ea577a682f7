#pragma once

#include <cstddef>
#include <span>

#include "gridmill/base/device.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::cpu {

/// [slot][layer][head] of strips of C, n and m (mlstm.hpp).
class StripMlstmState final : public MlstmState {
 public:
  explicit StripMlstmState(const MlstmStateShape& shape);

  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;
  void fork(SlotId from, SlotId to, std::int64_t length) override;

  [[nodiscard]] const MlstmStateShape& shape() const { return shape_; }
  /// Slot 0 of a layer.
  [[nodiscard]] float* layer(int layer) const;
  [[nodiscard]] std::size_t head_stride() const { return head_floats_; }
  [[nodiscard]] std::size_t slot_stride() const { return slot_floats_; }

 private:
  [[nodiscard]] float* slot(SlotId slot) const;
  /// Calls visit(address of an element) in canonical order.
  template <typename Visit>
  void for_each(SlotId slot, Visit visit);

  MlstmStateShape shape_;
  std::size_t n_offset_;
  std::size_t m_offset_;
  std::size_t head_floats_;
  std::size_t slot_floats_;
  Buffer memory_;
};

}  // namespace gridmill::cpu
