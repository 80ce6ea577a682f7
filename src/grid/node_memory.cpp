#include "gridmill/grid/node_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <optional>

#include "grid/descriptor_passing.hpp"
#include "gridmill/base/available_memory.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill {

namespace {

constexpr double kMiB = 1024.0 * 1024.0;
constexpr std::size_t kHugePage = std::size_t{2} << 20;
#ifndef MADV_COLLAPSE
constexpr int MADV_COLLAPSE = 25;  // Linux 6.1; the headers of Debian 12 do not have it
#endif

[[noreturn]] void no_memory(std::size_t bytes, const std::string& what, const std::string& reason) {
  throw ResourceError(fmt::format(
      "cannot get {:.0f} MiB of shared memory for {}: {}; use a larger node, more tp, or leave "
      "out --gather-params-once",
      static_cast<double>(bytes) / kMiB, what, reason));
}

/// Where rank 0 keeps the memory.
struct Origin {
  std::int64_t pid = 0;
  std::int64_t fd = -1;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
};

bool is_same_file(const FileDescriptor& file, const Origin& origin) {
  struct stat status {};
  return ::fstat(file.get(), &status) == 0 && status.st_dev == origin.device &&
         status.st_ino == origin.inode;
}

Origin origin_of(const FileDescriptor& file) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw SystemError("fstat of a memfd failed: " + system_reason());
  }
  return {::getpid(), file.get(), status.st_dev, status.st_ino};
}

/// Collective: a descriptor of rank 0's memory on every rank.
FileDescriptor share(const Communicator& comm, FileDescriptor own, MemoryHandOver hand_over) {
  Origin origin = agree_on(comm, [&] { return comm.rank() == 0 ? origin_of(own) : Origin{}; });
  broadcast(comm, 0, origin);
  FileDescriptor file;
  if (hand_over != MemoryHandOver::unix_socket && comm.rank() != 0) {
    const std::string path = fmt::format("/proc/{}/fd/{}", origin.pid, origin.fd);
    file = FileDescriptor(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    // The same pid may be another process in another namespace.
    if (file.valid() && !is_same_file(file, origin)) file = FileDescriptor();
  }
  if (any_rank(comm, comm.rank() != 0 && !file.valid())) {
    if (hand_over == MemoryHandOver::proc_folder) {
      throw ResourceError("ranks of one node cannot open each other's /proc/PID/fd");
    }
    file = detail::pass_descriptor(comm, own);
  }
  return comm.rank() == 0 ? std::move(own) : std::move(file);
}

/// Takes the pages now, so that running out of memory is an error message and no kill later.
void allocate_pages(const FileDescriptor& file, std::size_t first, std::size_t bytes,
                    const std::string& what) {
  constexpr std::size_t kPiece = std::size_t{256} << 20;
  while (bytes > 0) {
    const std::size_t piece = std::min(bytes, kPiece);
    const int code =
        ::posix_fallocate(file.get(), static_cast<off_t>(first), static_cast<off_t>(piece));
    if (code == EINTR) continue;
    if (code != 0) {
      errno = code;
      no_memory(piece, what, system_reason());
    }
    first += piece;
    bytes -= piece;
  }
}

/// Holders of a descriptor can neither write nor map for writing any more. Existing mappings
/// stay as they are.
void take_the_right_to_write(const FileDescriptor& file) {
#ifndef F_SEAL_FUTURE_WRITE
  constexpr int F_SEAL_FUTURE_WRITE = 0x10;  // the headers of glibc before 2.29 do not have it
#endif
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0) return;
  // Linux before 5.1. No descriptor outlives seal(), and processes of other users never had one.
  if (errno == EINVAL && ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SEAL) == 0) return;
  throw SystemError("sealing shared memory failed: " + system_reason());
}

/// Address space for `bytes` from a 2 MiB border on: the kernel puts huge pages only where a
/// mapping covers an aligned 2 MiB.
struct Reserved {
  std::span<std::byte> mapping;
  std::span<std::byte> bytes;
};
Reserved reserve(std::size_t bytes, int protection, const std::string& what) {
  const std::size_t mapped_bytes = bytes + kHugePage;
  void* mapped = ::mmap(nullptr, mapped_bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) no_memory(bytes, what, "mmap: " + system_reason());
  const std::span mapping{static_cast<std::byte*>(mapped), mapped_bytes};
  const std::size_t past = reinterpret_cast<std::uintptr_t>(mapped) % kHugePage;
  return {mapping, mapping.subspan(past == 0 ? 0 : kHugePage - past, bytes)};
}

/// Makes huge pages of shared memory that begins at a 2 MiB border and has all its pages (without
/// them this takes five times as long), whatever the system does with shared memory otherwise. A
/// wish: older kernels refuse, and some memory may be left in small pages.
void make_huge(std::span<std::byte> memory) {
  const std::size_t whole = memory.size() / kHugePage * kHugePage;
  if (whole > 0) ::madvise(memory.data(), whole, MADV_COLLAPSE);
}

}  // namespace

NodeMemory NodeMemory::create(const Communicator& comm, std::size_t bytes, const std::string& what,
                              MemoryHandOver hand_over) {
  NodeMemory memory;
  if (bytes == 0) return memory;
  if (comm.size() == 1) {
    memory.map_own(bytes, what);
  } else {
    memory.map_shared(comm, bytes, what, hand_over);
  }
  return memory;
}

void NodeMemory::map_shared(const Communicator& comm, std::size_t bytes, const std::string& what,
                            MemoryHandOver hand_over) {
  FileDescriptor own = agree_on(comm, [&] {
    if (comm.rank() != 0) return FileDescriptor();
    FileDescriptor made(::memfd_create("gridmill", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!made.valid()) no_memory(bytes, what, "memfd_create: " + system_reason());
    if (::ftruncate(made.get(), static_cast<off_t>(bytes)) != 0) {
      no_memory(bytes, what, "ftruncate: " + system_reason());
    }
    // A file that shrinks would end its readers with SIGBUS.
    if (::fcntl(made.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
      no_memory(bytes, what, "fcntl: " + system_reason());
    }
    return made;
  });
  file_ = share(comm, std::move(own), hand_over);
  agree_on(comm, [&] {
    const Reserved reserved = reserve(bytes, PROT_NONE, what);
    mapping_ = reserved.mapping;
    void* mapped = ::mmap(reserved.bytes.data(), bytes, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED, file_.get(), 0);
    if (mapped == MAP_FAILED) no_memory(bytes, what, "mmap: " + system_reason());
    bytes_ = reserved.bytes;
    // Every rank takes its part: faster, and spread over the memory of all their sockets.
    const auto ranks = static_cast<std::size_t>(comm.size());
    const std::size_t share_bytes = (bytes / ranks / kHugePage + 1) * kHugePage;
    const std::size_t first = std::min(bytes, share_bytes * static_cast<std::size_t>(comm.rank()));
    const std::size_t count = std::min(bytes - first, share_bytes);
    allocate_pages(file_, first, count, what);
    make_huge(bytes_.subspan(first, count));
  });
}

void NodeMemory::map_own(std::size_t bytes, const std::string& what) {
  const Reserved reserved = reserve(bytes, PROT_READ | PROT_WRITE, what);
  mapping_ = reserved.mapping;
  bytes_ = reserved.bytes;
  ::madvise(mapping_.data(), mapping_.size(), MADV_HUGEPAGE);  // a wish
}

NodeMemory::~NodeMemory() {
  if (!mapping_.empty()) ::munmap(mapping_.data(), mapping_.size());
}

void NodeMemory::seal(const Communicator& comm) {
  comm.barrier();
  agree_on(comm, [&] {
    if (!bytes_.empty() && ::mprotect(bytes_.data(), bytes_.size(), PROT_READ) != 0) {
      throw SystemError("mprotect of shared memory failed: " + system_reason());
    }
    if (comm.rank() == 0 && file_.valid()) take_the_right_to_write(file_);
  });
  file_ = FileDescriptor();
}

void check_node_memory(const Communicator& node, std::size_t bytes, const std::string& what) {
  const auto wanted = static_cast<std::size_t>(sum_over_ranks(node, bytes));
  agree_on(node, [&] {
    const std::optional<std::uint64_t> available = available_memory().shared_bytes;
    if (available && wanted > *available) {
      no_memory(wanted, what,
                fmt::format("the node or a control group has {:.0f} MiB left",
                            static_cast<double>(*available) / kMiB));
    }
  });
}

}  // namespace gridmill
