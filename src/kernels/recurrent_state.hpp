#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gridmill/base/device.hpp"
#include "gridmill/kernels/state.hpp"

namespace gridmill::kernels_detail {

/// Plain array [slot][layer] in host memory: a slot is already in canonical form.
class HostRecurrentState final : public RecurrentState {
 public:
  /// Floats of the whole array.
  [[nodiscard]] static std::size_t values(const RecurrentStateShape& shape);
  HostRecurrentState(const RecurrentStateShape& shape, Buffer memory);

  void reset(SlotId slot) override;
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const override;
  void save(SlotId slot, std::int64_t length, std::span<float> out) override;
  void load(SlotId slot, std::int64_t length, std::span<const float> in) override;
  void fork(SlotId from, SlotId to, std::int64_t length) override;

  [[nodiscard]] const RecurrentStateShape& shape() const { return shape_; }
  /// Floats of one layer of one slot.
  [[nodiscard]] float* layer(int layer, SlotId slot) const;
  [[nodiscard]] std::size_t slot_stride() const { return slot_floats_; }

 private:
  [[nodiscard]] std::span<float> slot_floats(SlotId slot) const;

  RecurrentStateShape shape_;
  std::size_t slot_floats_;
  Buffer memory_;
};

/// @throws InternalError if `state` is not one of the host.
[[nodiscard]] const HostRecurrentState& host_recurrent_state(const RecurrentState& state);

}  // namespace gridmill::kernels_detail
