#include "kernels/recurrent_state.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "gridmill/base/check.hpp"

namespace gridmill::kernels_detail {

namespace {

std::size_t floats_per_slot(const RecurrentStateShape& shape) {
  return static_cast<std::size_t>(shape.layers) * shape.layer_floats();
}

}  // namespace

std::size_t HostRecurrentState::values(const RecurrentStateShape& shape) {
  return static_cast<std::size_t>(shape.slots) * floats_per_slot(shape);
}

HostRecurrentState::HostRecurrentState(const RecurrentStateShape& shape, Buffer memory)
    : shape_(shape), slot_floats_(floats_per_slot(shape)), memory_(std::move(memory)) {}

std::span<float> HostRecurrentState::slot_floats(SlotId slot) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  return {reinterpret_cast<float*>(memory_.data()) + static_cast<std::size_t>(slot) * slot_floats_,
          slot_floats_};
}

float* HostRecurrentState::layer(int layer, SlotId slot) const {
  GRIDMILL_ASSERT(layer >= 0 && layer < shape_.layers, "no layer " + std::to_string(layer));
  return slot_floats(slot).data() + static_cast<std::size_t>(layer) * shape_.layer_floats();
}

void HostRecurrentState::reset(SlotId slot) {
  const std::span<float> floats = slot_floats(slot);
  std::fill(floats.begin(), floats.end(), 0.0F);
}

std::size_t HostRecurrentState::saved_floats(std::int64_t /*length*/) const { return slot_floats_; }

void HostRecurrentState::save(SlotId slot, std::int64_t /*length*/, std::span<float> out) {
  const std::span<const float> floats = slot_floats(slot);
  GRIDMILL_ASSERT(out.size() == floats.size(), "wrong size for a saved recurrent state");
  std::copy(floats.begin(), floats.end(), out.begin());
}

void HostRecurrentState::load(SlotId slot, std::int64_t /*length*/, std::span<const float> in) {
  const std::span<float> floats = slot_floats(slot);
  GRIDMILL_ASSERT(in.size() == floats.size(), "wrong size for a saved recurrent state");
  std::copy(in.begin(), in.end(), floats.begin());
}

void HostRecurrentState::fork(SlotId from, SlotId to, std::int64_t /*length*/) {
  GRIDMILL_ASSERT(from != to, "a slot is forked onto itself");
  const std::span<const float> floats = slot_floats(from);
  std::copy(floats.begin(), floats.end(), slot_floats(to).begin());
}

const HostRecurrentState& host_recurrent_state(const RecurrentState& state) {
  const auto* host = dynamic_cast<const HostRecurrentState*>(&state);
  GRIDMILL_ASSERT(host != nullptr, "the state belongs to another backend");
  return *host;
}

}  // namespace gridmill::kernels_detail
