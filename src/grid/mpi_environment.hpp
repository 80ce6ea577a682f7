#pragma once

namespace gridmill {

/// Before MPI_Init and any thread: sets the variables that keep MPI libraries out of trouble. A
/// variable that is set already keeps its value.
///
/// * One rank without a launcher: Open MPI 4 would start a daemon (orted) for a later
/// MPI_Comm_spawn.
///   It is told that there will be none.
/// * A kernel or container that refuses process_vm_readv (seccomp, ptrace_scope): Open MPI 4 would
///   try it for every large message between ranks of a node, and print a line each time. It is told
///   to copy through shared memory.
void set_mpi_environment();

}  // namespace gridmill
