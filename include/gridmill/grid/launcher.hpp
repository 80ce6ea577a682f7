#pragma once

#include <optional>
#include <string>

namespace gridmill {

/// Tasks that a launcher says this step has; empty when there is no launcher.
struct LauncherTasks {
  int tasks = 1;
  std::string variable;  ///< environment variable that says so
  int task = 0;          ///< this one
};

/// Reads the variables of the first launcher that is there: Open MPI's mpirun, a launcher that
/// speaks PMI (Hydra of MPICH and Intel MPI, srun --mpi=pmi2), srun. Must be read before MPI_Init:
/// Open MPI sets its own variables there.
[[nodiscard]] std::optional<LauncherTasks> launcher_tasks();

/// Refuses a step of several tasks in which MPI sees one: every task would do the whole job.
/// @throws UsageError that says what to change.
void check_launcher(int mpi_size, const std::optional<LauncherTasks>& launcher);

/// Before MPI_Init: whether no PMIx or PMI server connects this process to others, so that MPI will
/// see one rank.
[[nodiscard]] bool without_process_manager();

/// Before MPI_Init: whether this is a task of srun that no PMI connects to the others. Open MPI
/// 4.1.4 ends such a process with code 1 and a page of text.
[[nodiscard]] bool step_without_pmi();

/// Before MPI_Init: whether a launcher has started this very process with a process manager, and
/// not a shell of the step (srun --pty bash), whose variables say as much to every command in it.
[[nodiscard]] bool is_task_itself(const LauncherTasks& launcher);

}  // namespace gridmill
