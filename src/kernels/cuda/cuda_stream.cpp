#include "kernels/cuda/cuda_stream.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gridmill/base/error.hpp"

namespace gridmill::cuda {

DeviceScratch::~DeviceScratch() {
  if (memory_ != nullptr) device_free(memory_);
}

std::byte* DeviceScratch::get(CudaStream& stream, std::size_t size_bytes) {
  if (size_bytes > size_bytes_) {
    cuda::synchronize(stream.direct());
    if (memory_ != nullptr) device_free(memory_);
    memory_ = nullptr;
    size_bytes_ = 0;
    memory_ = device_allocate(size_bytes);
    size_bytes_ = size_bytes;
  }
  return memory_;
}

PinnedArray::PinnedArray(std::size_t size_bytes)
    : memory_(pinned_allocate(size_bytes)), copied_(create_event()) {}

PinnedArray::~PinnedArray() {
  wait_event(copied_);
  destroy_event(copied_);
  pinned_free(memory_);
}

void PinnedArray::upload(StreamHandle stream, std::span<const std::byte> host, std::byte* device) {
  if (host.empty()) return;
  wait_event(copied_);
  std::memcpy(memory_, host.data(), host.size());
  copy_to_device(stream, {memory_, host.size()}, device);
  record_event(copied_, stream);
}

CudaStream::CudaStream()
    : handle_(create_stream()), reached_(create_event()), left_{create_event(), create_event()} {}

CudaStream::~CudaStream() {
  try {
    cuda::synchronize(handle_);
  } catch (const Error&) {  // earlier calls have reported it, or the work is not needed any more
  }
  for (const Staged& staged : staged_) {
    if (staged.pinned != nullptr) pinned_free(staged.pinned);
    if (staged.device != nullptr) device_free(staged.device);
  }
  if (landing_ != nullptr) pinned_free(landing_);
  destroy_event(reached_);
  for (EventHandle event : left_) destroy_event(event);
  destroy_stream(handle_);
}

void CudaStream::synchronize() {
  const std::vector<Landing> landed = std::exchange(landings_, {});
  const std::size_t wanted = std::exchange(landing_wanted_, 0);
  // The same arrays take the same places in every pass.
  next_ = 0;
  taken_ = 0;
  cuda::synchronize(direct());
  for (const Landing& one : landed) {
    std::memcpy(one.host.data(), landing_ + one.offset, one.host.size());
  }
  if (wanted > landing_bytes_) resize_landing(wanted);
}

void CudaStream::begin_pass(std::int64_t rows) {
  // The kernels of more rows take longer than it takes to launch them.
  constexpr std::int64_t kMostRows = 256;
  if (!gathered_.items.empty()) {  // of a pass that failed
    gathered_.clear();
    landings_.clear();
    synchronize();
  }
  gathering_ = rows <= kMostRows;
}

void CudaStream::end_pass() {
  flush();
  gathering_ = false;
}

LaunchStream CudaStream::handle() {
  // In a pass the device works on one list while the host gathers the next.
  constexpr std::size_t kMostItems = 48;
  if (!gathering_) return {handle_, nullptr};
  if (gathered_.items.size() >= kMostItems) flush();
  return {handle_, &gathered_};
}

StreamHandle CudaStream::direct() {
  flush();
  return handle_;
}

void CudaStream::flush() {
  graphs_.submit(gathered_);
  gathered_.clear();
}

void CudaStream::turn_ring() {
  const std::size_t half = staged_.size() / 2;
  if (next_ % half != 0) return;
  const std::size_t entered = next_ / half;
  if (taken_ > 0) record_event(left_[1 - entered], direct());
  wait_event(left_[entered]);
}

void CudaStream::resize(Staged& staged, std::size_t size_bytes) {
  constexpr std::size_t kSmallest = 4096;
  if (staged.size_bytes >= size_bytes) return;
  cuda::synchronize(direct());  // kernels may still read the old array
  graphs_.clear();
  if (staged.pinned != nullptr) pinned_free(staged.pinned);
  if (staged.device != nullptr) device_free(staged.device);
  staged.pinned = nullptr;
  staged.device = nullptr;
  staged.size_bytes = 0;
  const std::size_t rounded = std::max(kSmallest, 2 * size_bytes);
  staged.pinned = pinned_allocate(rounded);
  staged.device = device_allocate(rounded);
  staged.size_bytes = rounded;
}

const std::byte* CudaStream::stage_bytes(std::span<const std::byte> host) {
  if (host.empty()) return nullptr;
  // Half of the ring: what is found is not the next to be overwritten.
  const std::size_t recent = std::min(taken_, staged_.size() / 2);
  for (std::size_t i = 1; i <= recent; ++i) {
    const Staged& before = staged_[(next_ + staged_.size() - i) % staged_.size()];
    if (before.used_bytes == host.size() &&
        std::memcmp(before.pinned, host.data(), host.size()) == 0) {
      return before.device;
    }
  }
  turn_ring();
  Staged& staged = staged_[next_];
  next_ = (next_ + 1) % staged_.size();
  ++taken_;
  resize(staged, host.size());
  std::memcpy(staged.pinned, host.data(), host.size());
  staged.used_bytes = host.size();
  if (const LaunchStream to = handle(); to.gathered != nullptr) {
    to.gathered->add_copy(Work::Kind::copy_from_pinned, staged.pinned, staged.device, host.size());
  } else {
    copy_to_device(handle_, {staged.pinned, host.size()}, staged.device);
  }
  return staged.device;
}

void CudaStream::resize_landing(std::size_t size_bytes) {
  constexpr std::size_t kSmallest = 65536;
  graphs_.clear();
  if (landing_ != nullptr) pinned_free(landing_);
  landing_ = nullptr;
  landing_bytes_ = 0;
  const std::size_t rounded = std::max(kSmallest, size_bytes);
  landing_ = pinned_allocate(rounded);
  landing_bytes_ = rounded;
}

void CudaStream::download(const std::byte* device, std::span<std::byte> host) {
  // Larger ones are not part of a pass, and what they take to copy twice would be felt.
  constexpr std::size_t kMostLanding = std::size_t{1} << 20;
  if (host.empty()) return;
  if (host.size() > kMostLanding) return copy_to_host(direct(), device, host);
  if (landing_ == nullptr) resize_landing(host.size());
  const std::size_t offset = landing_wanted_;
  landing_wanted_ += host.size();
  // The first pass that needs more waits here; then there is room.
  if (landing_wanted_ > landing_bytes_) return copy_to_host(direct(), device, host);
  if (const LaunchStream to = handle(); to.gathered != nullptr) {
    to.gathered->add_copy(Work::Kind::copy_to_pinned, device, landing_ + offset, host.size());
  } else {
    copy_to_host(handle_, device, {landing_ + offset, host.size()});
  }
  landings_.push_back({offset, host});
}

void CudaStream::follow(CudaStream& before) {
  record_event(before.reached_, before.direct());
  wait_event_on(direct(), before.reached_);
}

std::byte* CudaStream::scratch(Use use, std::size_t size_bytes) {
  return scratch_[static_cast<std::size_t>(use)].get(*this, size_bytes);
}

}  // namespace gridmill::cuda
