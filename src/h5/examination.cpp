#include "gridmill/h5/examination.hpp"

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigaction is POSIX
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <fstream>
#include <new>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/file.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): not every unistd.h has it

namespace gridmill::h5 {

namespace {

/// Exit codes of a child that lived; others mean a crash.
constexpr int kReadable = 0;
constexpr int kRefused = 3;
constexpr int kTooMuchMemory = 4;

/// Beyond what the file itself has: room for the library, its caches, and rows and chunks of the
/// largest size that Dataset allows.
constexpr std::uint64_t kMemoryBytes = std::uint64_t{1} << 30;
/// Processor time: for structures, and for what compressed bytes become.
constexpr std::uint64_t kSeconds = 5;
constexpr std::uint64_t kBytesPerSecond = 250'000;
/// Elements read at a time from a dataset that goes through the library, and at most.
constexpr std::uint64_t kSlabElements = std::uint64_t{1} << 20;
constexpr std::uint64_t kMostElements = std::uint64_t{32} << 20;

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): of the program, set once
bool g_program_examines = false;

/// Everything that readers do with a file, as far as it goes.
class Walk {
 public:
  explicit Walk(const std::string& path) : file_(File::open(path)) {}

  void run() const {
    attributes_of("/");
    for (const Link& link : file_.links()) {
      if (link.kind != LinkKind::other) attributes_of(link.path);
      if (link.kind == LinkKind::group) static_cast<void>(file_.links(link.path));
      if (link.kind == LinkKind::dataset) go_on([&] { elements_of(link.path); });
    }
  }

 private:
  /// An object that can be told to be wrong is the reader's business.
  template <typename Look>
  static void go_on(Look look) {
    try {
      look();
    } catch (const ResourceError&) {
      throw;
    } catch (const Error&) {  // NOLINT(bugprone-empty-catch): see above
    }
  }

  void attributes_of(const std::string& object) const {
    go_on([&] {
      for (const std::string& name : file_.attribute_names(object)) {
        go_on([&] { static_cast<void>(file_.read_text_attribute(object, name)); });
        go_on([&] { static_cast<void>(file_.read_integer_attribute(object, name)); });
        go_on([&] { static_cast<void>(file_.read_number_attribute(object, name)); });
      }
    });
  }

  void elements_of(const std::string& object) const {
    const Dataset dataset = file_.dataset(object);
    if (dataset.offset()) return;  // readers go around the library
    if (dataset.type().kind == Kind::variable_text || dataset.type().kind == Kind::fixed_text) {
      static_cast<void>(dataset.read_texts());
      return;
    }
    if (dataset.element_count() == 0) return;
    const std::uint64_t rows = dataset.shape().empty() ? 1 : dataset.shape()[0];
    const std::uint64_t row = std::max<std::uint64_t>(1, dataset.row_elements());
    // Whole chunks if possible, since each read of a part unpacks the chunk again.
    const std::uint64_t chunk = dataset.rows_per_chunk();
    const std::uint64_t whole_chunks =
        std::max<std::uint64_t>(1, kSlabElements / row / chunk) * chunk;
    const std::uint64_t slab =
        std::max<std::uint64_t>(1, std::min(whole_chunks, kMostElements / row));
    std::vector<std::byte> values;
    for (std::uint64_t first = 0; first < rows; first += slab) {
      const std::uint64_t count = std::min(slab, rows - first);
      values.resize(dataset.checked_elements(first, count) * dataset.type().size_bytes);
      dataset.read_rows(first, count, values);
    }
  }

  File file_;
};

/// Bytes of address space that this process has.
std::uint64_t own_size() {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

void lower_limit(int resource, std::uint64_t value) {
  rlimit limit{};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) return;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, value);
  limit.rlim_max = std::min<rlim_t>(limit.rlim_max, value == 0 ? 0 : value + 1);
  ::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit);
}

/// Returns how the child ended, as waitpid says.
int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) {
      throw SystemError(fmt::format("waiting for a child process failed: {}",
                                    std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
    }
  }
  return status;
}

[[noreturn]] void no_child(int error) {
  throw SystemError(fmt::format("cannot start a child process to examine a file: {}",
                                std::strerror(error)));  // NOLINT(concurrency-mt-unsafe)
}

constexpr std::array kFaults = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU};

/// Requests to stop, which a terminal and launchers send to the child as well. Blocked there: the
/// parent acts on them, and its file is not damaged for that.
sigset_t requests() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int request : {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2}) {
    ::sigaddset(&signals, request);
  }
  return signals;
}

int examine_by_fork(const std::string& path) {
  const pid_t child = ::fork();
  if (child < 0) no_child(errno);
  if (child > 0) return wait_for(child);
  for (const int fault : kFaults) {
    ::signal(fault, SIG_DFL);  // NOLINT(cert-err33-c): no reports, the parent reports
  }
  const sigset_t blocked = requests();
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  ::_exit(run_examination(path));
}

int examine_by_spawn(const std::string& path) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    ::posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
  }
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t signals = requests();
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  ::sigfillset(&signals);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string program = "gridmill";
  std::string command(kExamineCommand);
  std::string file = path;
  const std::array<char*, 4> arguments = {program.data(), command.data(), file.data(), nullptr};
  pid_t child = 0;
  const int error =
      ::posix_spawn(&child, "/proc/self/exe", &files, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) no_child(error);
  return wait_for(child);
}

}  // namespace

void set_program_examines() { g_program_examines = true; }

int run_examination(const std::string& path) {
  try {
    const std::uint64_t bytes = file_size(open_for_reading(path), path);
    lower_limit(RLIMIT_AS, own_size() + kMemoryBytes + bytes);
    lower_limit(RLIMIT_CPU, kSeconds + bytes / kBytesPerSecond);
    lower_limit(RLIMIT_CORE, 0);
    Walk(path).run();
    return kReadable;
  } catch (const std::bad_alloc&) {
    return kTooMuchMemory;
  } catch (const ResourceError&) {
    return kTooMuchMemory;
  } catch (const std::exception&) {
    return kRefused;
  }
}

void examine(const std::string& path) {
  static_cast<void>(open_for_reading(path));  // for the message of a file that is not there
  const int status = g_program_examines ? examine_by_spawn(path) : examine_by_fork(path);
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (signal == SIGXCPU || (signal == SIGKILL)) {
      throw FormatError(
          fmt::format("{} is damaged: HDF5 does not come to an end with its structures (signal {})",
                      path, signal));
    }
    throw FormatError(
        fmt::format("{} is damaged: HDF5 cannot read its metadata (signal {})", path, signal));
  }
  switch (WEXITSTATUS(status)) {
    case kReadable:
    case kRefused:
      return;
    case kTooMuchMemory:
      throw FormatError(fmt::format(
          "{} is damaged: reading it takes more than {} MiB of memory besides the file's size; if "
          "it is not, rewrite it with smaller chunks (h5repack)",
          path, kMemoryBytes >> 20));
    default:
      throw FormatError(fmt::format("{} is damaged: HDF5 cannot read its metadata (exit code {})",
                                    path, WEXITSTATUS(status)));
  }
}

}  // namespace gridmill::h5
