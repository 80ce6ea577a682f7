#pragma once

/// Stop requests from signals so far. Functions are local and may be called from any thread.
///
/// SIGTERM, SIGUSR1 and SIGINT: stop cleanly (no new prompts, commit, exit 75); a second one, at
/// least a second later: commit and leave at once. (Signals within a second count as one.)
/// SIGCONT: commit now (mpirun sends it one second before it kills).
namespace gridmill::signals {

/// Installs the handlers; called before anything else, MPI included. Also ignores SIGXFSZ: a write
/// beyond the limit of file sizes fails instead.
void install();
/// For a command that does not look at stop_requests(): the next signal ends it as the system does
/// without us.
void restore();

/// While one lives, stop_requests() is polled. Without one a stop request ends the process at once
/// (75): no work has begun or all is done, and MPI may wait for a rank that never comes.
class Attended {
 public:
  Attended();
  Attended(const Attended&) = delete;
  Attended& operator=(const Attended&) = delete;
  ~Attended();
};

/// Stop requests received; 2 or more mean "at once".
[[nodiscard]] int stop_requests();
/// True once after each SIGCONT.
[[nodiscard]] bool take_commit_request();

}  // namespace gridmill::signals
