#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "gridmill/base/file.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

/// How the ranks of a node find each other's memory.
enum class MemoryHandOver {
  automatic,    ///< proc_folder, else unix_socket
  proc_folder,  ///< /proc/PID/fd: needs one pid namespace
  unix_socket,  ///< SCM_RIGHTS over an abstract socket: needs one network namespace
};

/// Memory that ranks of one node share: an anonymous memfd, so no size of /dev/shm limits it and
/// nothing is left behind after a kill. Processes of other users do not get it. Every page is there
/// from the start, in huge pages from Linux 6.1 on. A single rank gets memory of its own in huge
/// pages, which come when they are first written.
class NodeMemory {
 public:
  NodeMemory() = default;
  /// Collective over `comm`, whose ranks must be on one node.
  /// @param bytes  the same on every rank; 0 gives an empty span.
  /// @param what   names the content in messages.
  /// @throws ResourceError on every rank if there is not enough memory or no way to share it.
  [[nodiscard]] static NodeMemory create(const Communicator& comm, std::size_t bytes,
                                         const std::string& what,
                                         MemoryHandOver hand_over = MemoryHandOver::automatic);
  NodeMemory(NodeMemory&& other) noexcept
      : file_(std::move(other.file_)),
        mapping_(std::exchange(other.mapping_, {})),
        bytes_(std::exchange(other.bytes_, {})) {}
  NodeMemory& operator=(NodeMemory&& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(mapping_, other.mapping_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~NodeMemory();

  [[nodiscard]] std::span<std::byte> bytes() const { return bytes_; }
  /// Collective over the communicator of create(): waits until everybody has written and takes the
  /// right to write away, also from other holders of a descriptor of the memory. Closes this
  /// process's descriptor. @throws SystemError on every rank.
  void seal(const Communicator& comm);

 private:
  void map_shared(const Communicator& comm, std::size_t bytes, const std::string& what,
                  MemoryHandOver hand_over);
  void map_own(std::size_t bytes, const std::string& what);

  FileDescriptor file_;           ///< until it is sealed
  std::span<std::byte> mapping_;  ///< whole pages
  std::span<std::byte> bytes_;
};

/// Collective over `node`: checks that the bytes that its ranks are about to allocate together are
/// available (base/available_memory.hpp), since the kernel would kill a process
/// instead of failing the call.
/// @throws ResourceError on every rank of this node.
void check_node_memory(const Communicator& node, std::size_t bytes, const std::string& what);

}  // namespace gridmill
