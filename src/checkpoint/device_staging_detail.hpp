#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "checkpoint/unit_pieces_detail.hpp"
#include "gridmill/base/device.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill::checkpoint_detail {

/// Two buffers of the host through which bytes reach a device: one is filled while the other is
/// copied. Each has a stream of its own, so that a wait for one is none for the other.
class DeviceStaging {
 public:
  /// @throws ResourceError
  DeviceStaging(Backend& backend, std::size_t buffer_bytes);

  /// The buffer that was used longer ago, of any content. Waits until all has been copied out of
  /// it. @throws what failed on the device
  [[nodiscard]] std::span<std::byte> next();
  /// Submits a copy out of the buffer that next() gave last.
  void upload(std::span<const std::byte> from, std::byte* device);
  /// Waits until everything is on the device. @throws what failed there
  void finish();

 private:
  struct Slot {
    Buffer memory;
    std::unique_ptr<Stream> stream;  // last: ends, with its copies, before the memory
  };
  Backend& backend_;
  std::array<Slot, 2> slots_;
  std::size_t last_ = 0;
};

/// Fills the pieces one after the other and copies them to their places behind `device`. A piece is
/// filled while the one before is copied; the last ones are still in flight on return.
/// @param pack  fills a piece whole.
void upload_pieces(DeviceStaging& staging, const std::vector<UnitPiece>& pieces, std::byte* device,
                   const std::function<void(const UnitPiece&, std::span<std::byte>)>& pack);

}  // namespace gridmill::checkpoint_detail
