#include "gridmill/job/machine.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill {

namespace {

/// The number after `key` in a file of "key: value" lines; 0 if there is none.
std::uint64_t number_after(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    std::uint64_t value = 0;
    if (word == key && file >> value) return value;
  }
  return 0;
}

/// A file that holds one number; the largest value if it holds none ("max") or is missing.
std::uint64_t number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? value : std::numeric_limits<std::uint64_t>::max();
}

/// What the process's control group (version 2) leaves.
std::uint64_t control_group_bytes() {
  std::ifstream membership("/proc/self/cgroup");
  std::string line;
  while (std::getline(membership, line)) {
    if (line.rfind("0::", 0) != 0) continue;
    const std::string folder = "/sys/fs/cgroup" + line.substr(3);
    const std::uint64_t limit = number_in(folder + "/memory.max");
    const std::uint64_t used = number_in(folder + "/memory.current");
    if (limit == std::numeric_limits<std::uint64_t>::max()) return limit;
    return limit > used ? limit - used : 0;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

int threads_for_rank(const Grid& grid) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return 1;
  const std::vector<cpu_set_t> masks = all_gather(grid.node(), mask);
  const auto sharers = std::count_if(masks.begin(), masks.end(), [&mask](const cpu_set_t& other) {
    return CPU_EQUAL(&other, &mask) != 0;
  });
  return std::max(1, CPU_COUNT(&mask) / std::max(1, static_cast<int>(sharers)));
}

std::uint64_t available_memory_bytes() {
  const std::uint64_t available = number_after("/proc/meminfo", "MemAvailable:") * 1024;
  return available == 0 ? 0 : std::min(available, control_group_bytes());
}

int slots_for_replica(const Grid& grid, std::size_t bytes_per_slot) {
  // Ranks look at the same memory: take the smallest answer, and share it.
  const std::uint64_t available = available_memory_bytes();
  const std::uint64_t share = available / 2 / static_cast<std::uint64_t>(grid.node().size());
  const std::uint64_t fit =
      available == 0 ? kMostSlots : share / std::max<std::size_t>(bytes_per_slot, 1);
  const std::vector<std::uint64_t> all = all_gather(grid.world(), fit);
  const std::uint64_t smallest = *std::min_element(all.begin(), all.end());
  if (smallest == 0) {
    throw ResourceError(fmt::format(
        "not enough memory: one sequence needs {:.1f} MiB a rank and a rank may take {:.1f} MiB; "
        "lower --max-length, use fewer ranks a node, or raise --tp",
        static_cast<double>(bytes_per_slot) / (1 << 20), static_cast<double>(share) / (1 << 20)));
  }
  return static_cast<int>(std::min<std::uint64_t>(smallest, kMostSlots));
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::uint64_t resident_bytes() { return number_after("/proc/self/status", "VmRSS:") * 1024; }

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace gridmill
