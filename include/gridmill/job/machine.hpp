#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "gridmill/grid/grid.hpp"

namespace gridmill {

/// Cores in this process's mask, divided by the ranks of the node that have the same mask; at
/// least 1. Collective over the node.
[[nodiscard]] int threads_for_rank(const Grid& grid);

/// Memory that this process may still take, in bytes: the smaller of what the kernel calls
/// available and what its control group leaves. 0 if unknown.
[[nodiscard]] std::uint64_t available_memory_bytes();

/// Largest number of sequences in flight that is worth having: beyond it products no longer get
/// faster.
inline constexpr int kMostSlots = 64;

/// Slots of a replica: at most kMostSlots, as many as half of the node's available memory holds.
/// Collective over the world, equal everywhere.
/// @throws ResourceError if not even one sequence fits.
[[nodiscard]] int slots_for_replica(const Grid& grid, std::size_t bytes_per_slot);

/// Name of this host.
[[nodiscard]] std::string host_name();
/// Resident memory of this process now, in bytes.
[[nodiscard]] std::uint64_t resident_bytes();
/// High-water mark of this process's resident memory, in bytes.
[[nodiscard]] std::uint64_t peak_resident_bytes();

}  // namespace gridmill
