#include "kernels/cuda/cuda_stream.hpp"

#include <algorithm>
#include <cstring>

#include "gridmill/base/error.hpp"

namespace gridmill::cuda {

DeviceScratch::~DeviceScratch() {
  if (memory_ != nullptr) device_free(memory_);
}

std::byte* DeviceScratch::get(StreamHandle stream, std::size_t size_bytes) {
  if (size_bytes > size_bytes_) {
    cuda::synchronize(stream);
    if (memory_ != nullptr) device_free(memory_);
    memory_ = nullptr;
    size_bytes_ = 0;
    memory_ = device_allocate(size_bytes);
    size_bytes_ = size_bytes;
  }
  return memory_;
}

CudaStream::CudaStream() : handle_(create_stream()) {}

CudaStream::~CudaStream() {
  try {
    cuda::synchronize(handle_);
  } catch (const Error&) {  // whoever needed the work has been told, or will not ask any more
  }
  for (const Staged& staged : staged_) {
    if (staged.copied != nullptr) destroy_event(staged.copied);
    if (staged.pinned != nullptr) pinned_free(staged.pinned);
    if (staged.device != nullptr) device_free(staged.device);
  }
  destroy_stream(handle_);
}

void CudaStream::synchronize() { cuda::synchronize(handle_); }

void CudaStream::resize(Staged& staged, std::size_t size_bytes) {
  constexpr std::size_t kSmallest = 4096;
  if (staged.copied == nullptr) staged.copied = create_event();
  if (staged.size_bytes >= size_bytes) return;
  cuda::synchronize(handle_);  // kernels may still read the old array
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
  Staged& staged = staged_[next_];
  next_ = (next_ + 1) % staged_.size();
  resize(staged, host.size());
  wait_event(staged.copied);
  std::memcpy(staged.pinned, host.data(), host.size());
  copy_to_device(handle_, {staged.pinned, host.size()}, staged.device);
  record_event(staged.copied, handle_);
  return staged.device;
}

std::byte* CudaStream::scratch(Use use, std::size_t size_bytes) {
  return scratch_[static_cast<std::size_t>(use)].get(handle_, size_bytes);
}

}  // namespace gridmill::cuda
