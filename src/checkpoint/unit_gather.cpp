#include <algorithm>
#include <string>

#include "checkpoint/unit_gather_detail.hpp"
#include "gridmill/base/check.hpp"

namespace gridmill::checkpoint_detail {

UnitGather::UnitGather(const std::vector<UnitSpec>& units, const std::vector<UnitLayout>& layouts,
                       const std::vector<ResidentUnit>& resident, const Communicator& fsdp,
                       Backend& backend, Stream& stream, Exchange* device_exchange)
    : units_(units),
      layouts_(layouts),
      resident_(resident),
      fsdp_(fsdp),
      backend_(backend),
      stream_(stream),
      device_exchange_(device_exchange) {
  if (device_exchange_ != nullptr) travel_ = backend.make_stream();
  buffer_bytes_ = bytes_for(layouts_);
  for (Slot& slot : slots_) {
    if (buffer_bytes_ > 0) slot.memory = backend.allocate(buffer_bytes_ / slots_.size());
  }
}

std::size_t UnitGather::bytes_for(const std::vector<UnitLayout>& layouts) {
  std::size_t largest = 0;
  for (const UnitLayout& layout : layouts) {
    if (layout.gathered_bytes == 0) continue;
    largest = std::max(largest, layout.gathered_bytes + layout.assembled_bytes);
  }
  return largest * kSlots;
}

UnitGather::Slot* UnitGather::find(UnitId unit) {
  for (Slot& slot : slots_) {
    if (slot.unit == unit) return &slot;
  }
  return nullptr;
}

UnitGather::Slot* UnitGather::vacant() {
  // One that was used rather than one that was brought near and not used yet; then the older one.
  Slot* best = nullptr;
  for (Slot& slot : slots_) {
    if (slot.holders > 0) continue;
    if (best == nullptr ||
        std::pair(slot.in_flight, slot.last_use) < std::pair(best->in_flight, best->last_use)) {
      best = &slot;
    }
  }
  return best;
}

void UnitGather::start(Slot& slot, UnitId unit) {
  slot.gather.wait();
  const auto index = static_cast<std::size_t>(unit);
  const UnitLayout& layout = layouts_[index];
  slot.unit = unit;
  slot.in_flight = true;
  slot.last_use = ++clock_;
  const auto own = static_cast<std::size_t>(fsdp_.rank());
  const std::size_t own_bytes = layout.block_bytes[own];
  bytes_received_ += layout.gathered_bytes - own_bytes;
  if (device_exchange_ != nullptr) {
    backend_.order(*travel_, stream_);  // the last user of the buffer has read it
    device_exchange_->all_gather(*travel_, resident_[index].block, own_bytes, slot.memory.data());
    return;
  }
  std::vector<std::int64_t> counts;
  for (const std::size_t bytes : layout.block_bytes) {
    counts.push_back(static_cast<std::int64_t>(bytes / kAlignment));
  }
  slot.gather = PendingGather(fsdp_, {resident_[index].block, own_bytes}, counts, kAlignment,
                              {slot.memory.data(), layout.gathered_bytes});
}

void UnitGather::complete(Slot& slot) {
  slot.gather.wait();
  slot.in_flight = false;
  if (travel_) backend_.order(stream_, *travel_);
  const auto index = static_cast<std::size_t>(slot.unit);
  const UnitLayout& layout = layouts_[index];
  std::byte* assembled = slot.memory.data() + layout.gathered_bytes;
  if (layout.assembled_bytes > 0) assemble_vectors(layout, slot.memory.data(), assembled);
  slot.weights = make_weights(units_[index], layout, fsdp_.rank(), slot.memory.data(),
                              resident_[index].kept, assembled);
}

void UnitGather::prefetch(UnitId unit) {
  for (Slot& slot : slots_) slot.gather.test();
  if (find(unit) != nullptr) return;
  Slot* slot = vacant();
  if (slot != nullptr) start(*slot, unit);
}

const UnitWeights& UnitGather::acquire(UnitId unit) {
  Slot* slot = find(unit);
  if (slot == nullptr) {
    slot = vacant();
    GRIDMILL_ASSERT(slot != nullptr,
                    "unit " + std::to_string(unit) + " is wanted while two others are held");
    start(*slot, unit);
  }
  if (slot->in_flight) complete(*slot);
  for (Slot& other : slots_) other.gather.test();
  ++slot->holders;
  slot->last_use = ++clock_;
  return slot->weights;
}

void UnitGather::release(UnitId unit) {
  Slot* slot = find(unit);
  if (slot != nullptr) --slot->holders;
}

}  // namespace gridmill::checkpoint_detail
