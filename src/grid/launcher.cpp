#include "gridmill/grid/launcher.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

namespace {

/// Environment variables that a launcher sets for each of its tasks.
struct Launcher {
  const char* tasks;
  const char* task;
};

/// mpirun first: inside an sbatch script its ranks inherit the step of its daemons or proxies.
constexpr std::array<Launcher, 3> kLaunchers = {{
    {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},  // mpirun of Open MPI
    {"PMI_SIZE", "PMI_RANK"},                          // Hydra of MPICH and Intel MPI, pmi2
    {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"},          // srun
}};

/// Each of these says that a PMIx, PMI-2 or PMI-1 server is there.
constexpr std::array<const char*, 5> kProcessManagers = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK",
                                                         "PMI_RANK", "PMI_SIZE", "PMI_FD"};

/// Plugin of srun for the MPI that gridmill is built with.
#ifdef OPEN_MPI
constexpr const char* kSrunPlugin = "pmix";
#else
constexpr const char* kSrunPlugin = "pmi2";
#endif

/// The number in an environment variable, if it is there and at least `least`; nonsense counts as
/// 0.
std::optional<int> number_of(const char* variable, int least) {
  const char* value = std::getenv(variable);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (value == nullptr) return std::nullopt;
  const int number = std::atoi(value);  // NOLINT(cert-err34-c): 0 for nonsense
  return number >= least ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<LauncherTasks> launcher_tasks() {
  for (const Launcher& launcher : kLaunchers) {
    if (const std::optional<int> tasks = number_of(launcher.tasks, 1)) {
      return LauncherTasks{*tasks, launcher.tasks, number_of(launcher.task, 0).value_or(0)};
    }
  }
  return std::nullopt;
}

void check_launcher(int mpi_size, const std::optional<LauncherTasks>& launcher) {
  if (!launcher || launcher->tasks <= 1 || mpi_size != 1) return;
  throw UsageError(fmt::format(
      "this step has {} tasks ({}), but MPI sees 1: each task would do the whole job. Start it "
      "with 'srun --mpi={}' or with the mpirun of the MPI that gridmill was built with ({}), or "
      "ask for one task",
      launcher->tasks, launcher->variable, kSrunPlugin, mpi_library_version()));
}

bool without_process_manager() {
  return std::none_of(kProcessManagers.begin(), kProcessManagers.end(),
                      [](const char* variable) { return number_of(variable, 0).has_value(); });
}

bool step_without_pmi() { return number_of("SLURM_STEPID", 0) && without_process_manager(); }

bool is_task_itself(const LauncherTasks& launcher) {
  const bool in_slurm_step =
      number_of("SLURM_STEPID", 0) || launcher.variable.starts_with("SLURM_");
  if (launcher.variable.starts_with("OMPI_") || !in_slurm_step) return true;
  return number_of("SLURM_TASK_PID", 1) == ::getpid() && !step_without_pmi();
}

}  // namespace gridmill
