#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace gridmill {

/// Where a process finds what limits its memory; tests make up both.
struct MemorySources {
  /// Stands before every path: /proc/meminfo, /proc/self/cgroup, the control groups' folders.
  std::string root{};
  /// Soft limits of this process (ulimit -v, ulimit -d); empty = none.
  std::optional<std::uint64_t> address_space_limit{};
  std::optional<std::uint64_t> data_limit{};

  /// Those of this process.
  [[nodiscard]] static MemorySources of_this_process();
};

/// Memory that may still be taken, in bytes; empty = unknown or unlimited.
struct AvailableMemory {
  /// Available memory of the kernel, or the rest of one of the control groups above this process,
  /// whichever is less. Other processes of the node or the group take from it, too. Page cache
  /// counts as free.
  std::optional<std::uint64_t> shared_bytes;
  /// Rest of the limits of this process alone.
  std::optional<std::uint64_t> own_bytes;

  /// Share of one of `ranks` processes that take equal amounts.
  [[nodiscard]] std::optional<std::uint64_t> share_of(int ranks) const;
};

/// Looks at the node, at every control group above this process (versions 1 and 2, where they are
/// mounted) and at its own limits. What cannot be read limits nothing.
[[nodiscard]] AvailableMemory available_memory(
    const MemorySources& sources = MemorySources::of_this_process());

}  // namespace gridmill
