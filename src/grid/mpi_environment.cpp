#include "grid/mpi_environment.hpp"

#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): setenv is POSIX
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "gridmill/grid/launcher.hpp"

namespace gridmill {

namespace {

struct Setting {
  const char* name;
  const char* value;
};

/// `ess_singleton_isolated` is of Open MPI 4; Open MPI 5 starts a daemon when it is needed.
constexpr Setting kNoDaemon = {"OMPI_MCA_ess_singleton_isolated", "1"};

/// A setting of Open MPI 4. Open MPI 5 and MPICH (UCX) detect this silently.
constexpr Setting kNoSingleCopy = {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"};

void set(const Setting& setting) {
  ::setenv(setting.name, setting.value, 0);  // NOLINT(concurrency-mt-unsafe): before any thread
}

/// Reads a word of a child's memory. The child allows any process to read it only if it is asked to
/// (ptrace_scope 1), which MPI libraries do, so the reader here is the parent.
/// @return false only if the kernel refuses; a child that cannot be made says nothing.
bool can_read_a_child() {
  std::array<int, 2> line{};
  if (::pipe(line.data()) != 0) return true;
  int word = 1;
  const pid_t child = ::fork();
  if (child == 0) {
    // Waits until the parent closes its end.
    char end = 0;
    ::close(line[1]);
    while (::read(line[0], &end, 1) < 0 && errno == EINTR) {
    }
    ::_exit(0);
  }
  bool allowed = true;
  if (child > 0) {
    int copy = 0;
    iovec local = {&copy, sizeof(copy)};
    iovec remote = {&word, sizeof(word)};
    const ssize_t got = ::process_vm_readv(child, &local, 1, &remote, 1, 0);
    allowed = got == static_cast<ssize_t>(sizeof(word));
  }
  ::close(line[0]);
  ::close(line[1]);
  if (child > 0) {
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  return allowed;
}

}  // namespace

void set_mpi_environment() {
  if (without_process_manager()) {
    set(kNoDaemon);
  } else if (!can_read_a_child()) {
    set(kNoSingleCopy);
  }
}

}  // namespace gridmill
