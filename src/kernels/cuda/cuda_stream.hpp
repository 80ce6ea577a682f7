#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "kernels/cuda/graph_cache.hpp"
#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/work_list.hpp"

namespace gridmill::cuda {

class CudaStream;

/// Device memory that grows to the largest size asked for.
class DeviceScratch {
 public:
  DeviceScratch() = default;
  DeviceScratch(const DeviceScratch&) = delete;
  DeviceScratch& operator=(const DeviceScratch&) = delete;
  ~DeviceScratch();
  /// At least `size_bytes`; what was there is lost if it grows. `stream` is the only one that uses
  /// it, and is waited for then.
  [[nodiscard]] std::byte* get(CudaStream& stream, std::size_t size_bytes);

 private:
  std::byte* memory_ = nullptr;
  std::size_t size_bytes_ = 0;
};

/// Pinned memory through which an array that changes now and then goes to its place on the device.
class PinnedArray {
 public:
  explicit PinnedArray(std::size_t size_bytes);
  PinnedArray(const PinnedArray&) = delete;
  PinnedArray& operator=(const PinnedArray&) = delete;
  ~PinnedArray();
  /// Copies without waiting, but for the copy before. `host` has the size of this and may change at
  /// once.
  void upload(StreamHandle stream, std::span<const std::byte> host, std::byte* device);

 private:
  std::byte* memory_;
  EventHandle copied_;
};

/// A stream of the device with what its kernels need for a moment: small arrays of the host, and
/// scratch. Whatever crosses between host and device goes through pinned memory that is kept, so
/// that a pass like the one before allocates nothing and the host waits in synchronize() only.
class CudaStream final : public Stream {
 public:
  CudaStream();
  ~CudaStream() override;
  void synchronize() override;
  void begin_pass(std::int64_t rows) override;
  void end_pass() override;

  /// For kernels: a short pass is gathered, in lists that are submitted when they are long enough.
  [[nodiscard]] LaunchStream handle();
  /// For all else, behind what has been gathered.
  [[nodiscard]] StreamHandle direct();
  /// Submits what has been gathered. If other work than kernels is due at times, a call
  /// in every pass makes lists begin and end at the same places as before.
  void flush();

  /// Copies a small array of the host to the device without waiting for the stream. The address
  /// holds until 31 more arrays have been staged, or the stream is synchronised; the array may
  /// change at once. An array that was staged shortly before, in the same pass, is not copied
  /// again: layers use the same spans. nullptr for an empty one.
  template <typename T>
  [[nodiscard]] const T* stage(std::span<const T> host) {
    return reinterpret_cast<const T*>(stage_bytes(std::as_bytes(host)));
  }
  /// `host` is filled by the next synchronize().
  void download(const std::byte* device, std::span<std::byte> host);

  /// Work of this stream from now on waits for what `before` has been given so far.
  void follow(CudaStream& before);

  /// Use of a piece of scratch: pieces with different uses do not overlap.
  enum class Use : std::uint8_t { logits, blocks, factors, hidden, sums, norms };
  [[nodiscard]] std::byte* scratch(Use use, std::size_t size_bytes);

 private:
  /// One of the arrays in flight. The device's copy is used in stream order, the host's may be
  /// overwritten once it has been copied.
  struct Staged {
    std::byte* pinned = nullptr;
    std::byte* device = nullptr;
    std::size_t size_bytes = 0;
    std::size_t used_bytes = 0;
  };
  /// Where a download waits for its host array.
  struct Landing {
    std::size_t offset = 0;
    std::span<std::byte> host;
  };
  [[nodiscard]] const std::byte* stage_bytes(std::span<const std::byte> host);
  void resize(Staged& staged, std::size_t size_bytes);
  void resize_landing(std::size_t size_bytes);

  /// Sees to it that the next array of the ring is not in use any more.
  void turn_ring();

  StreamHandle handle_;
  EventHandle reached_;
  GraphCache graphs_{handle_};
  WorkList gathered_;
  bool gathering_ = false;
  std::array<Staged, 64> staged_{};
  std::array<EventHandle, 2> left_;  ///< the last copy of each half of the ring
  std::size_t next_ = 0;
  std::size_t taken_ = 0;  ///< since the stream was synchronised
  std::byte* landing_ = nullptr;
  std::size_t landing_bytes_ = 0;
  std::size_t landing_wanted_ = 0;  ///< by all downloads since the stream was synchronised
  std::vector<Landing> landings_;
  std::array<DeviceScratch, 6> scratch_;
};

}  // namespace gridmill::cuda
