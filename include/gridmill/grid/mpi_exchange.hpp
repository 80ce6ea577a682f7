#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

/// How to reach memory of a device; for backends whose buffers are not host memory.
struct HostStaging {
  /// Fills `host` once the stream is synchronised.
  std::function<void(Stream& stream, const std::byte* device, std::span<std::byte> host)> download;
  /// Reads `host` during the call.
  std::function<void(Stream& stream, std::span<const std::byte> host, std::byte* device)> upload;
};

/// Exchange over an MPI communicator. Calls that name a stream wait for it first and have finished
/// on return, except for an upload at the end, which the stream orders.
class MpiExchange final : public Exchange {
 public:
  /// @param comm     must outlive this object.
  /// @param staging  empty for host memory.
  explicit MpiExchange(const Communicator& comm, std::optional<HostStaging> staging = {})
      : comm_(comm), staging_(std::move(staging)) {}

  [[nodiscard]] int size() const override { return comm_.size(); }
  [[nodiscard]] int rank() const override { return comm_.rank(); }
  void all_gather(Stream& stream, const std::byte* part, std::size_t part_bytes,
                  std::byte* whole) override;
  void all_gather_host(const void* part, std::size_t part_bytes, void* whole) override;
  [[nodiscard]] bool any(bool value) override;
  /// Bytes that this rank has received from others so far.
  [[nodiscard]] std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  const Communicator& comm_;
  std::optional<HostStaging> staging_;
  std::vector<std::byte> host_;  ///< staging memory, grows to the largest exchange
  std::uint64_t bytes_received_ = 0;
};

}  // namespace gridmill
