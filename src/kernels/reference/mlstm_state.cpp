#include "kernels/reference/mlstm_state.hpp"

#include <algorithm>
#include <string>

#include "gridmill/base/check.hpp"

namespace gridmill::reference {

namespace {

std::size_t head_floats(const MlstmStateShape& shape) {
  const auto qk_dim = static_cast<std::size_t>(shape.qk_dim);
  return qk_dim * static_cast<std::size_t>(shape.v_dim) + qk_dim + 1;
}

std::size_t floats_per_slot(const MlstmStateShape& shape) {
  return static_cast<std::size_t>(shape.layers) * static_cast<std::size_t>(shape.heads) *
         head_floats(shape);
}

}  // namespace

std::size_t ReferenceMlstmState::values(const MlstmStateShape& shape) {
  return static_cast<std::size_t>(shape.slots) * floats_per_slot(shape);
}

ReferenceMlstmState::ReferenceMlstmState(const MlstmStateShape& shape, Buffer memory)
    : shape_(shape), memory_(std::move(memory)) {}

std::span<float> ReferenceMlstmState::slot_floats(SlotId slot) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  const std::size_t count = floats_per_slot(shape_);
  return {reinterpret_cast<float*>(memory_.data()) + static_cast<std::size_t>(slot) * count, count};
}

MlstmHeadState ReferenceMlstmState::head(int layer, SlotId slot, int head) const {
  GRIDMILL_ASSERT(layer >= 0 && layer < shape_.layers && head >= 0 && head < shape_.heads,
                  "no layer " + std::to_string(layer) + " or head " + std::to_string(head));
  const auto index = static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.heads) +
                     static_cast<std::size_t>(head);
  float* c = slot_floats(slot).data() + index * head_floats(shape_);
  float* n = c + static_cast<std::ptrdiff_t>(shape_.qk_dim) * shape_.v_dim;
  return {c, n, n + shape_.qk_dim};
}

void ReferenceMlstmState::reset(SlotId slot) {
  const std::span<float> floats = slot_floats(slot);
  std::fill(floats.begin(), floats.end(), 0.0F);
}

std::size_t ReferenceMlstmState::saved_floats(std::int64_t /*length*/) const {
  return floats_per_slot(shape_);
}

void ReferenceMlstmState::save(SlotId slot, std::int64_t /*length*/, std::span<float> out) {
  const std::span<const float> floats = slot_floats(slot);
  GRIDMILL_ASSERT(out.size() == floats.size(), "wrong size for a saved mLSTM state");
  std::copy(floats.begin(), floats.end(), out.begin());
}

void ReferenceMlstmState::load(SlotId slot, std::int64_t /*length*/, std::span<const float> in) {
  const std::span<float> floats = slot_floats(slot);
  GRIDMILL_ASSERT(in.size() == floats.size(), "wrong size for a saved mLSTM state");
  std::copy(in.begin(), in.end(), floats.begin());
}

}  // namespace gridmill::reference
