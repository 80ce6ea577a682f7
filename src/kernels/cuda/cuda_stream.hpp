#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// Device memory that grows to the largest size asked for.
class DeviceScratch {
 public:
  DeviceScratch() = default;
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;
  ~DeviceScratch();
  /// At least `size_bytes`; what was there is lost if it grows. `stream` is the only one that uses
  /// it, and is waited for then.
  [[nodiscard]] std::byte* get(StreamHandle stream, std::size_t size_bytes);

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_bytes_ = 0;
};

/// A stream of the device with what its kernels need for a moment: small arrays of the host, and
/// scratch.
class CudaStream final : public Stream {
 public:
  CudaStream();
  ~CudaStream() override;
  void synchronize() override;

  [[nodiscard]] StreamHandle handle() const { return handle_; }

  /// Copies a small array of the host to the device, through pinned memory and without waiting for
  /// the stream. The address holds until 63 more arrays have been staged; the array may change at
  /// once. nullptr for an empty one.
  template <typename T>
  [[nodiscard]] const T* stage(std::span<const T> host) {
    return reinterpret_cast<const T*>(stage_bytes(std::as_bytes(host)));
  }

  /// What a piece of scratch is for: pieces with different uses do not overlap.
  enum class Use : std::uint8_t { logits, blocks, factors, hidden, sums, norms };
  [[nodiscard]] std::byte* scratch(Use use, std::size_t size_bytes);

 private:
  /// One of the arrays in flight. The device's half is used in stream order, the host's half may be
  /// overwritten once its copy has run.
  struct Staged {
    std::byte* pinned = nullptr;
    std::byte* device = nullptr;
    std::size_t size_bytes = 0;
    EventHandle copied = nullptr;
  };
  [[nodiscard]] const std::byte* stage_bytes(std::span<const std::byte> host);
  void resize(Staged& staged, std::size_t size_bytes);

  StreamHandle handle_;
  std::array<Staged, 64> staged_{};
  std::size_t next_ = 0;
  std::array<DeviceScratch, 6> scratch_;
};

}  // namespace gridmill::cuda
