#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "checkpoint/unit_layout_detail.hpp"
#include "gridmill/grid/mpi_exchange.hpp"
#include "gridmill/grid/transfer.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill::checkpoint_detail {

/// Where a unit's own block and its kept part lie in a backend's memory.
struct ResidentUnit {
  const std::byte* block = nullptr;
  const std::byte* kept = nullptr;
};

/// Brings units together, one ahead of use, in two buffers as large as the largest unit.
class UnitGather {
 public:
  /// @param units, layouts, resident  one a unit; must outlive this object.
  /// @param device_exchange  for backends without host memory; else nullptr.
  UnitGather(const std::vector<UnitSpec>& units, const std::vector<UnitLayout>& layouts,
             const std::vector<ResidentUnit>& resident, const Communicator& fsdp, Backend& backend,
             Stream& stream, Exchange* device_exchange);

  /// Collective over the fsdp group. Does nothing if both buffers are held.
  void prefetch(UnitId unit);
  /// Collective over the fsdp group. The weights stay until release(unit).
  const UnitWeights& acquire(UnitId unit);
  void release(UnitId unit);

  /// Memory that both buffers take together.
  [[nodiscard]] static std::size_t bytes_for(const std::vector<UnitLayout>& layouts);
  [[nodiscard]] std::size_t buffer_bytes() const { return buffer_bytes_; }
  [[nodiscard]] std::uint64_t bytes_received() const { return bytes_received_; }

 private:
  static constexpr std::size_t kSlots = 2;  // one in use, one on its way
  struct Slot {
    Buffer memory;
    UnitId unit = -1;
    bool in_flight = false;
    int holders = 0;
    std::uint64_t last_use = 0;
    PendingGather gather;
    UnitWeights weights;
  };
  [[nodiscard]] Slot* find(UnitId unit);
  [[nodiscard]] Slot* vacant();
  void start(Slot& slot, UnitId unit);
  void complete(Slot& slot);

  const std::vector<UnitSpec>& units_;
  const std::vector<UnitLayout>& layouts_;
  const std::vector<ResidentUnit>& resident_;
  const Communicator& fsdp_;
  Backend& backend_;
  Stream& stream_;  ///< where units are used
  /// Where units travel between devices: beside the work of the unit before.
  std::unique_ptr<Stream> travel_;
  Exchange* device_exchange_;
  std::array<Slot, kSlots> slots_;
  std::size_t buffer_bytes_ = 0;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace gridmill::checkpoint_detail
