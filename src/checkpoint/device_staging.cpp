#include "checkpoint/device_staging_detail.hpp"

namespace gridmill::checkpoint_detail {

DeviceStaging::DeviceStaging(Backend& backend, std::size_t buffer_bytes) : backend_(backend) {
  for (Slot& slot : slots_) {
    slot.memory = backend.allocate_staging(buffer_bytes);
    slot.stream = backend.make_stream();
  }
}

std::span<std::byte> DeviceStaging::next() {
  last_ = (last_ + 1) % slots_.size();
  const Slot& slot = slots_[last_];
  slot.stream->synchronize();
  return {slot.memory.data(), slot.memory.size_bytes()};
}

void DeviceStaging::upload(std::span<const std::byte> from, std::byte* device) {
  backend_.upload(*slots_[last_].stream, from, device);
}

void DeviceStaging::finish() {
  for (const Slot& slot : slots_) slot.stream->synchronize();
}

void upload_pieces(DeviceStaging& staging, const std::vector<UnitPiece>& pieces, std::byte* device,
                   const std::function<void(const UnitPiece&, std::span<std::byte>)>& pack) {
  for (const UnitPiece& piece : pieces) {
    const std::span<std::byte> host = staging.next().first(piece.bytes);
    pack(piece, host);
    staging.upload(host, device + piece.begin);
  }
}

}  // namespace gridmill::checkpoint_detail
