#include "kernels/cuda/mlstm_state.hpp"

#include <string>
#include <utility>

#include "gridmill/base/check.hpp"
#include "kernels/cuda/cuda_stream.hpp"

namespace gridmill::cuda {

namespace {

std::size_t all_heads(const MlstmStateShape& shape) {
  return static_cast<std::size_t>(shape.slots) * static_cast<std::size_t>(shape.layers) *
         static_cast<std::size_t>(shape.heads);
}

}  // namespace

std::size_t CudaMlstmState::memory_bytes(const MlstmStateShape& shape) {
  const auto qk = static_cast<std::size_t>(shape.qk_dim);
  const auto dv = static_cast<std::size_t>(shape.v_dim);
  return all_heads(shape) * (qk * dv + qk + 1) * sizeof(float);
}

CudaMlstmState::CudaMlstmState(const MlstmStateShape& shape, Buffer memory)
    : shape_(shape),
      memory_(std::move(memory)),
      c_(reinterpret_cast<float*>(memory_.data())),
      n_(c_ + all_heads(shape) * head_c()),
      m_(n_ + all_heads(shape) * static_cast<std::size_t>(shape.qk_dim)) {}

std::size_t CudaMlstmState::slot_heads() const {
  return static_cast<std::size_t>(shape_.layers) * static_cast<std::size_t>(shape_.heads);
}

std::size_t CudaMlstmState::head_c() const {
  return static_cast<std::size_t>(shape_.qk_dim) * static_cast<std::size_t>(shape_.v_dim);
}

MlstmMemory CudaMlstmState::layer(int layer, CudaStream& stream) {
  if (!to_fill_.empty()) fill_slots(stream.direct());
  return {.c = c_,
          .n = n_,
          .m = m_,
          .slot_heads = static_cast<std::int64_t>(slot_heads()),
          .layer_head = static_cast<std::int64_t>(layer) * shape_.heads};
}

std::size_t CudaMlstmState::saved_floats(std::int64_t /*length*/) const {
  return slot_heads() * (head_c() + static_cast<std::size_t>(shape_.qk_dim) + 1);
}

void CudaMlstmState::check(SlotId slot, std::size_t floats) const {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  GRIDMILL_ASSERT(floats == saved_floats(0), "wrong size for a saved mLSTM state");
}

template <typename Move>
void CudaMlstmState::for_each_part(SlotId slot, Move move) const {
  const auto qk = static_cast<std::size_t>(shape_.qk_dim);
  std::size_t next = 0;
  for (std::size_t head = 0; head < slot_heads(); ++head) {
    const std::size_t at = static_cast<std::size_t>(slot) * slot_heads() + head;
    move(c_ + at * head_c(), head_c(), next);
    move(n_ + at * qk, qk, next + head_c());
    move(m_ + at, std::size_t{1}, next + head_c() + qk);
    next += head_c() + qk + 1;
  }
}

void CudaMlstmState::reset(SlotId slot) {
  GRIDMILL_ASSERT(slot >= 0 && slot < shape_.slots, "no slot " + std::to_string(slot));
  to_fill_.push_back({.slot = slot});
}

void CudaMlstmState::fork(SlotId from, SlotId to, std::int64_t /*length*/) {
  GRIDMILL_ASSERT(from >= 0 && from < shape_.slots && to >= 0 && to < shape_.slots,
                  "no slot " + std::to_string(from) + " or " + std::to_string(to));
  GRIDMILL_ASSERT(from != to, "a slot is forked onto itself");
  to_fill_.push_back({.slot = to, .from = from});
}

void CudaMlstmState::fill_slots(StreamHandle stream) {
  const auto fill = [&](float* data, std::size_t slot_floats, const Filling& filling) {
    const std::size_t bytes = slot_floats * sizeof(float);
    auto* slot =
        reinterpret_cast<std::byte*>(data + static_cast<std::size_t>(filling.slot) * slot_floats);
    if (filling.from < 0) {
      fill_zero(stream, slot, bytes);
      return;
    }
    const float* from = data + static_cast<std::size_t>(filling.from) * slot_floats;
    copy_on_device(stream, reinterpret_cast<const std::byte*>(from), slot, bytes);
  };
  for (const Filling& filling : to_fill_) {
    fill(c_, slot_heads() * head_c(), filling);
    fill(n_, slot_heads() * static_cast<std::size_t>(shape_.qk_dim), filling);
    fill(m_, slot_heads(), filling);
  }
  to_fill_.clear();
}

void CudaMlstmState::save(SlotId slot, std::int64_t /*length*/, std::span<float> out) {
  check(slot, out.size());
  synchronize_device();
  CudaStream stream;
  fill_slots(stream.direct());
  for_each_part(slot, [&](const float* device, std::size_t count, std::size_t at) {
    copy_to_host(stream.direct(), reinterpret_cast<const std::byte*>(device),
                 std::as_writable_bytes(out.subspan(at, count)));
  });
  stream.synchronize();
}

void CudaMlstmState::load(SlotId slot, std::int64_t /*length*/, std::span<const float> in) {
  check(slot, in.size());
  synchronize_device();
  CudaStream stream;
  fill_slots(stream.direct());
  for_each_part(slot, [&](float* device, std::size_t count, std::size_t at) {
    copy_to_device(stream.direct(), std::as_bytes(in.subspan(at, count)),
                   reinterpret_cast<std::byte*>(device));
  });
  stream.synchronize();
}

}  // namespace gridmill::cuda
