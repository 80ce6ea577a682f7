#include "job/same_file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <functional>
#include <vector>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/process.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill::job_detail {

namespace {

/// Which file a rank opened. Trivially copyable.
struct Identity {
  std::uint64_t kernel = 0;  ///< of the running kernel and the host's name
  std::uint64_t device = 0;
  std::uint64_t number = 0;
  std::uint64_t size_bytes = 0;
  std::int64_t changed_s = 0;
  std::int64_t changed_ns = 0;
  std::uint64_t on_network = 0;

  friend bool operator==(const Identity&, const Identity&) = default;
};

std::uint64_t this_kernel() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  std::getline(file, boot);
  return std::hash<std::string>{}(boot + " " + host_name());
}

/// File systems on which a file has one number for all hosts. Anything else counts as local, which
/// costs no more than reading a file once a host.
bool is_on_network(const std::string& path) {
  constexpr std::array<std::uint32_t, 10> kNetworkSystems = {
      0x6969,      // NFS
      0x0BD00BD0,  // Lustre
      0x47504653,  // GPFS
      0x19830326,  // BeeGFS
      0x00C36400,  // Ceph
      0x5346414F,  // AFS
      0xFF534D42,  // CIFS
      0xFE534D42,  // SMB2
      0x7461636F,  // OCFS2
      0x01161970,  // GFS2
  };
  struct statfs system {};
  if (::statfs(path.c_str(), &system) != 0) return false;
  const auto type = static_cast<std::uint32_t>(system.f_type);
  return std::find(kNetworkSystems.begin(), kNetworkSystems.end(), type) != kNetworkSystems.end();
}

Identity identity_of(const std::string& path) {
  const FileDescriptor file = open_for_reading(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw IoError("cannot look at " + path);
  return {.kernel = this_kernel(),
          .device = status.st_dev,
          .number = status.st_ino,
          .size_bytes = static_cast<std::uint64_t>(status.st_size),
          .changed_s = status.st_ctim.tv_sec,
          .changed_ns = status.st_ctim.tv_nsec,
          .on_network = is_on_network(path) ? 1U : 0U};
}

/// Whether two ranks opened one file, not two of equal name.
bool is_one_file(const Identity& a, const Identity& b) {
  if (a.kernel == b.kernel) return a.device == b.device && a.number == b.number;
  return a.on_network != 0 && b.on_network != 0 && a.number == b.number &&
         a.size_bytes == b.size_bytes && a.changed_s == b.changed_s && a.changed_ns == b.changed_ns;
}

}  // namespace

namespace {

/// Which file each rank opened. Collective.
std::vector<Identity> gather_identities(const Communicator& world, const std::string& path) {
  const Identity mine = agree_on(world, [&] { return identity_of(path); });
  return all_gather(world, mine);
}

void check_copies(const Communicator& world, const std::vector<Identity>& all,
                  const std::string& what, const std::string& path,
                  const std::function<std::string(const CopyShare&)>& check) {
  const auto own = static_cast<std::size_t>(world.rank());
  const Identity& mine = all[own];
  std::string root_host = host_name();
  broadcast(world, 0, root_host);
  agree_on(world, [&] {
    if (is_one_file(mine, all.front())) return;
    CopyShare share{.rank = 0, .ranks = 0};
    for (std::size_t rank = 0; rank < all.size(); ++rank) {
      if (!is_one_file(mine, all[rank])) continue;
      if (rank < own) ++share.rank;
      ++share.ranks;
    }
    const std::string wrong =
        mine.size_bytes == all.front().size_bytes
            ? check(share)
            : fmt::format("it has {} bytes, expected {}", mine.size_bytes, all.front().size_bytes);
    if (wrong.empty()) return;
    throw FormatError(fmt::format(
        "rank {} on host {}: {} is a copy that differs from the {} of rank 0 on host {}: {}; give "
        "every host the same file",
        world.rank(), host_name(), path, what, root_host, wrong));
  });
}

}  // namespace

void require_same_file(const Communicator& world, const std::string& what, const std::string& path,
                       const std::function<std::string(const CopyShare&)>& check) {
  check_copies(world, gather_identities(world, path), what, path, check);
}

void require_same_content(const Communicator& world, const std::string& what,
                          const std::string& path, std::string hash_on_root) {
  const std::vector<Identity> all = gather_identities(world, path);
  const bool copies = std::any_of(
      all.begin(), all.end(), [&](const Identity& one) { return !is_one_file(one, all.front()); });
  if (!copies) return;
  agree_on(world, [&] {
    if (world.rank() == 0 && hash_on_root.empty()) hash_on_root = content_hash_of_file(path);
  });
  broadcast(world, 0, hash_on_root);
  check_copies(world, all, what, path, [&](const CopyShare& share) -> std::string {
    if (share.rank != 0) return "";
    const std::string hash = content_hash_of_file(path);
    return hash == hash_on_root ? ""
                                : fmt::format("its hash is {}, expected {}", hash, hash_on_root);
  });
}

}  // namespace gridmill::job_detail
