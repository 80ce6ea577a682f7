#include "gridmill/base/available_memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string_view>
#include <vector>

namespace gridmill {

namespace {

using Bytes = std::optional<std::uint64_t>;

/// The lesser of two limits; empty is none.
Bytes least(Bytes a, Bytes b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

std::uint64_t minus(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

/// The number of a file that holds one; empty if it holds none ("max") or is missing.
Bytes number_in(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  return file >> value ? Bytes(value) : std::nullopt;
}

/// Bytes of the line "KEY: NUMBER kB".
Bytes kilobytes_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string word;
    std::uint64_t value = 0;
    if (words >> word >> value && word == key) return value * 1024;
  }
  return std::nullopt;
}

/// The sum of the named numbers in a file of "NAME NUMBER" lines; missing ones are 0.
std::uint64_t sum_in(const std::string& path, std::initializer_list<std::string_view> names) {
  std::ifstream file(path);
  std::uint64_t sum = 0;
  std::uint64_t value = 0;
  for (std::string name; file >> name >> value;) {
    if (std::find(names.begin(), names.end(), name) != names.end()) sum += value;
  }
  return sum;
}

bool in_list(const std::string& list, std::string_view wanted) {
  std::istringstream items(list);
  for (std::string item; std::getline(items, item, ',');) {
    if (item == wanted) return true;
  }
  return false;
}

struct Mount {
  std::string top;     ///< the group that is mounted
  std::string folder;  ///< where
};

/// A tree of control groups, as one of the two versions has it.
struct Hierarchy {
  std::string group;  ///< of this process; empty if it has none
  std::vector<Mount> mounts;
};

/// Those that may limit memory.
struct Hierarchies {
  Hierarchy v1;
  Hierarchy v2;
};

/// mountinfo writes blanks, tabs, line ends and backslashes as \ and three octal digits.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      int value = 0;
      for (std::size_t digit = 1; digit <= 3; ++digit) value = value * 8 + (text[i + digit] - '0');
      plain += static_cast<char>(value);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

Hierarchies read_hierarchies(const std::string& root) {
  Hierarchies found;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    // 4:memory:/path, or 0::/path for version 2
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (in_list(controllers, "memory")) found.v1.group = line.substr(second + 1);
    if (line.starts_with("0::")) found.v2.group = line.substr(second + 1);
  }
  std::ifstream mounts(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    // 35 31 0:32 TOP FOLDER rw,relatime [optional ...] - TYPE SOURCE rw,memory
    std::istringstream words(line);
    std::string word;
    std::string top;
    std::string folder;
    words >> word >> word >> word >> top >> folder;
    while (words >> word && word != "-") {
    }
    std::string type;
    std::string options;
    if (!(words >> type >> word >> options)) continue;
    const Mount mount{unescaped(top), unescaped(folder)};
    if (type == "cgroup" && in_list(options, "memory")) found.v1.mounts.push_back(mount);
    if (type == "cgroup2") found.v2.mounts.push_back(mount);
  }
  return found;
}

/// `group` below the mounted group: "" for that one itself, else "/a/b". Empty if it lies
/// elsewhere.
std::optional<std::string> below(const std::string& group, const std::string& top) {
  if (group.find("/..") != std::string::npos) return std::nullopt;
  if (group == top) return "";
  const std::string prefix = top == "/" ? "" : top;
  if (!group.starts_with(prefix + "/")) return std::nullopt;
  return group.substr(prefix.size());
}

/// Folders of the group of this process and of those above it, up to what is mounted.
std::vector<std::string> group_folders(const Hierarchy& hierarchy, const std::string& root) {
  const auto& [group, mounts] = hierarchy;
  if (group.empty() || mounts.empty()) return {};
  // Among several mounts the one that shows most of the groups above.
  const Mount* best = nullptr;
  std::string path;
  for (const Mount& mount : mounts) {
    const std::optional<std::string> found = below(group, mount.top);
    if (!found || (best != nullptr && found->size() <= path.size())) continue;
    best = &mount;
    path = *found;
  }
  // A container that sees the host's name of its group: what is mounted is its own.
  if (best == nullptr) best = &mounts.front();
  std::vector<std::string> folders;
  while (true) {
    folders.push_back(root + best->folder + path);
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return folders;
    path.resize(slash);
  }
}

/// Rest of a group's limit; empty without a limit. Files of a group count all groups below it.
Bytes left_in_v2(const std::string& folder) {
  // Beyond memory.high the kernel stalls each allocation, so that limit counts too.
  const Bytes limit = least(number_in(folder + "/memory.max"), number_in(folder + "/memory.high"));
  if (!limit) return std::nullopt;
  const std::uint64_t used = number_in(folder + "/memory.current").value_or(0);
  return minus(*limit,
               minus(used, sum_in(folder + "/memory.stat", {"inactive_file", "active_file"})));
}

Bytes left_in_v1(const std::string& folder, bool is_own) {
  // Such a group does not count those below it.
  if (!is_own && number_in(folder + "/memory.use_hierarchy") == Bytes(0)) return std::nullopt;
  constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 62;  // the kernel writes 2^63 less a page
  const Bytes limit = number_in(folder + "/memory.limit_in_bytes");
  if (!limit || *limit >= kNoLimit) return std::nullopt;
  const std::uint64_t used = number_in(folder + "/memory.usage_in_bytes").value_or(0);
  return minus(*limit, minus(used, sum_in(folder + "/memory.stat",
                                          {"total_inactive_file", "total_active_file"})));
}

Bytes left_in_groups(const std::string& root) {
  const Hierarchies hierarchies = read_hierarchies(root);
  Bytes left;
  for (const std::string& folder : group_folders(hierarchies.v2, root)) {
    left = least(left, left_in_v2(folder));
  }
  bool is_own = true;
  for (const std::string& folder : group_folders(hierarchies.v1, root)) {
    left = least(left, left_in_v1(folder, is_own));
    is_own = false;
  }
  return left;
}

/// Rest of a limit whose used part is `key` of the process's status.
Bytes left_of(Bytes limit, const std::string& root, const std::string& key) {
  if (!limit) return std::nullopt;
  return minus(*limit, kilobytes_in(root + "/proc/self/status", key).value_or(0));
}

Bytes soft_limit(int resource) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0 ||
      limit.rlim_cur == RLIM_INFINITY) {
    return std::nullopt;
  }
  return limit.rlim_cur;
}

}  // namespace

MemorySources MemorySources::of_this_process() {
  return {.root = "",
          .address_space_limit = soft_limit(RLIMIT_AS),
          .data_limit = soft_limit(RLIMIT_DATA)};
}

std::optional<std::uint64_t> AvailableMemory::share_of(int ranks) const {
  Bytes share = shared_bytes;
  if (share) *share /= static_cast<std::uint64_t>(std::max(ranks, 1));
  return least(share, own_bytes);
}

AvailableMemory available_memory(const MemorySources& sources) {
  return {.shared_bytes = least(kilobytes_in(sources.root + "/proc/meminfo", "MemAvailable:"),
                                left_in_groups(sources.root)),
          .own_bytes = least(left_of(sources.address_space_limit, sources.root, "VmSize:"),
                             left_of(sources.data_limit, sources.root, "VmData:"))};
}

}  // namespace gridmill
