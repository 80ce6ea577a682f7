#include "kernels/cpu/mlstm_state.hpp"

#include <algorithm>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/kernel_table.hpp"
#include "kernels/cpu/memory.hpp"

namespace gridmill::cpu {

namespace {

std::size_t rounded_up(int count, int multiple) {
  return static_cast<std::size_t>((count + multiple - 1) / multiple * multiple);
}

}  // namespace

StripMlstmState::StripMlstmState(const MlstmStateShape& shape)
    : shape_(shape),
      n_offset_(rounded_up(shape.v_dim, kStripColumns) * static_cast<std::size_t>(shape.qk_dim)),
      m_offset_(n_offset_ + rounded_up(shape.qk_dim, 16)),
      head_floats_(m_offset_ + 16),
      slot_floats_(head_floats_ * static_cast<std::size_t>(shape.layers) *
                   static_cast<std::size_t>(shape.heads)),
      memory_(
          allocate_zeroed(slot_floats_ * static_cast<std::size_t>(shape.slots) * sizeof(float))) {}

float* StripMlstmState::slot(SlotId slot) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  return reinterpret_cast<float*>(memory_.data()) + static_cast<std::size_t>(slot) * slot_floats_;
}

float* StripMlstmState::layer(int layer) const {
  GRIDMILL_ASSERT(layer >= 0 && layer < shape_.layers, "no layer " + std::to_string(layer));
  return reinterpret_cast<float*>(memory_.data()) +
         static_cast<std::size_t>(layer) * static_cast<std::size_t>(shape_.heads) * head_floats_;
}

void StripMlstmState::reset(SlotId slot_id) {
  float* floats = slot(slot_id);
  std::fill(floats, floats + slot_floats_, 0.0F);
}

void StripMlstmState::fork(SlotId from, SlotId to, std::int64_t /*length*/) {
  GRIDMILL_ASSERT(from != to, "a slot is forked onto itself");
  const float* floats = slot(from);
  std::copy(floats, floats + slot_floats_, slot(to));
}

std::size_t StripMlstmState::saved_floats(std::int64_t /*length*/) const {
  const auto qk_dim = static_cast<std::size_t>(shape_.qk_dim);
  const std::size_t head = qk_dim * static_cast<std::size_t>(shape_.v_dim) + qk_dim + 1;
  return head * static_cast<std::size_t>(shape_.layers) * static_cast<std::size_t>(shape_.heads);
}

template <typename Visit>
void StripMlstmState::for_each(SlotId slot_id, Visit visit) {
  float* head = slot(slot_id);
  for (int i = 0; i < shape_.layers * shape_.heads; ++i, head += head_floats_) {
    for (int a = 0; a < shape_.qk_dim; ++a) {
      for (int b = 0; b < shape_.v_dim; ++b) {
        const int strip = b / kStripColumns;
        visit(head[(strip * shape_.qk_dim + a) * kStripColumns + b % kStripColumns]);
      }
    }
    for (int a = 0; a < shape_.qk_dim; ++a) visit(head[n_offset_ + static_cast<std::size_t>(a)]);
    visit(head[m_offset_]);
  }
}

void StripMlstmState::save(SlotId slot, std::int64_t length, std::span<float> out) {
  GRIDMILL_ASSERT(out.size() == saved_floats(length), "wrong size for a saved mLSTM state");
  float* next = out.data();
  for_each(slot, [&](const float& element) { *next++ = element; });
}

void StripMlstmState::load(SlotId slot, std::int64_t length, std::span<const float> in) {
  GRIDMILL_ASSERT(in.size() == saved_floats(length), "wrong size for a saved mLSTM state");
  const float* next = in.data();
  for_each(slot, [&](float& element) { element = *next++; });
}

}  // namespace gridmill::cpu
