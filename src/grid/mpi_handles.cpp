#include "gridmill/grid/mpi_handles.hpp"

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): unsetenv is POSIX

#include <array>
#include <cstdlib>

#include "gridmill/base/format.hpp"

namespace gridmill {

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw SystemError(fmt::format("{} failed: {}", call, text.data()));
}

namespace {

/// The number in an environment variable, if it is there and at least `least`; nonsense counts as
/// 0.
std::optional<int> number_of(const char* variable, int least) {
  const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (value == nullptr) return std::nullopt;
  const int number = std::atoi(value);  // NOLINT(cert-err34-c): 0 for nonsense
  return number >= least ? std::optional(number) : std::nullopt;
}

[[noreturn]] void refuse_tasks(const LauncherTasks& launcher) {
  throw UsageError(fmt::format(
      "this step has {} tasks ({}), but MPI sees 1: each task would do the whole job. Start it "
      "with 'srun --mpi=pmix' or with the mpirun of the MPI that gridmill was built with ({}), or "
      "ask for one task",
      launcher.tasks, launcher.variable, mpi_library_version()));
}

}  // namespace

std::optional<LauncherTasks> launcher_tasks() {
  struct Variables {
    const char* tasks;
    const char* task;
  };
  // mpirun first: inside an sbatch script its ranks inherit the step of mpirun's own daemons.
  for (const Variables& names : {Variables{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                 Variables{"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}}) {
    if (const std::optional<int> tasks = number_of(names.tasks, 1)) {
      return LauncherTasks{*tasks, names.tasks, number_of(names.task, 0).value_or(0)};
    }
  }
  return std::nullopt;
}

void check_launcher(int mpi_size, const std::optional<LauncherTasks>& launcher) {
  if (launcher && launcher->tasks > 1 && mpi_size == 1) refuse_tasks(*launcher);
}

bool step_without_pmi() {
  if (number_of("OMPI_COMM_WORLD_SIZE", 1) || !number_of("SLURM_STEPID", 0)) return false;
  // What the PMI plugins of srun set: pmix, pmi2 and pmi1.
  return !number_of("PMIX_RANK", 0) && !number_of("PMI_RANK", 0) && !number_of("PMI_FD", 0);
}

MpiSession::MpiSession() {
  const std::optional<LauncherTasks> launcher = launcher_tasks();
  int initialised = 0;
  MPI_Initialized(&initialised);
  int provided = MPI_THREAD_SINGLE;
  if (initialised == 0) {
    if (step_without_pmi()) {
      if (launcher && launcher->tasks > 1) refuse_tasks(*launcher);
      // One task needs no PMI, but Open MPI looks for one as soon as it sees a step's nodes.
      ::unsetenv("SLURM_NODELIST");  // NOLINT(concurrency-mt-unsafe): before any thread
    }
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
  std::string version(text.data());
  return version.substr(0, version.find_first_of(",\n"));
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
