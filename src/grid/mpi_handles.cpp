#include "gridmill/grid/mpi_handles.hpp"

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): unsetenv is POSIX
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "grid/mpi_environment.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/launcher.hpp"

namespace gridmill {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw SystemError(fmt::format("{} failed: {}", call, text.data()));
}

MpiSession::MpiSession() {
  const std::optional<LauncherTasks> launcher = launcher_tasks();
  int initialised = 0;
  MPI_Initialized(&initialised);
  int provided = MPI_THREAD_SINGLE;
  if (initialised == 0) {
    if (step_without_pmi()) {
      check_launcher(1, launcher);
      // One task needs no PMI, but Open MPI looks for one as soon as it sees a step's nodes.
      ::unsetenv("SLURM_NODELIST");  // NOLINT(concurrency-mt-unsafe): before any thread
    }
    set_mpi_environment();
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    owned_ = true;
  } else {
    check_mpi(MPI_Query_thread(&provided), "MPI_Query_thread");
  }
  try {
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
              "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    if (provided < MPI_THREAD_FUNNELED) {
      throw SystemError(
          "MPI offers no MPI_THREAD_FUNNELED, which gridmill needs since its workers are threads; "
          "initialise MPI with MPI_Init_thread or use an MPI with thread support");
    }
    check_launcher(size_, launcher);
  } catch (...) {
    if (owned_) MPI_Finalize();
    throw;
  }
}

MpiSession::~MpiSession() {
  if (owned_) MPI_Finalize();
}

void abort_job(ExitCode code) {
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));  // MPI_Abort does not promise to end this process
}

std::string mpi_library_version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  std::string version;
  for (const char c : std::string_view(text.data())) {
    if (c == ',' || c == '\n') break;
    const bool is_space = c == ' ' || c == '\t';
    // MPICH and Cray MPICH align their version with tabs and spaces.
    if (!is_space || !version.ends_with(' ')) version += is_space ? ' ' : c;
  }
  return version;
}

Communicator::Communicator(MPI_Comm comm) : comm_(comm) {
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
  check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
}

Communicator::~Communicator() {
  if (comm_ == MPI_COMM_NULL) return;
  int finalised = 0;
  MPI_Finalized(&finalised);
  if (finalised == 0) MPI_Comm_free(&comm_);
}

Communicator Communicator::duplicate(MPI_Comm parent) {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(parent, &comm), "MPI_Comm_dup");
  return Communicator(comm);
}

Communicator Communicator::split(MPI_Comm parent, int color, int key) {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(parent, color, key, &comm), "MPI_Comm_split");
  return Communicator(comm);
}

Communicator Communicator::split_by_node(MPI_Comm parent) {
  int rank = 0;
  check_mpi(MPI_Comm_rank(parent, &rank), "MPI_Comm_rank");
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(parent, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &comm),
            "MPI_Comm_split_type");
  return Communicator(comm);
}

void Communicator::barrier() const { check_mpi(MPI_Barrier(comm_), "MPI_Barrier"); }

}  // namespace gridmill
