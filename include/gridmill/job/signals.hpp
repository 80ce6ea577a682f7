#pragma once

/// What signals have asked for so far. Functions are local and may be called from any thread.
///
/// SIGTERM, SIGUSR1 and SIGINT: stop cleanly (no new prompts, commit, exit 75); a second one, at
/// least a second later: commit and leave at once. (Launchers hand one request on in several ways.)
/// SIGCONT: commit now (mpirun sends it one second before it kills).
namespace gridmill::signals {

/// Installs the handlers; called before anything else, MPI included.
void install();
/// What the system does without us, for a command that does not look at stop_requests(): the next
/// signal ends it; so does one that has come already.
void restore();
/// Stop requests received; 2 or more mean "at once".
[[nodiscard]] int stop_requests();
/// True once after each SIGCONT.
[[nodiscard]] bool take_commit_request();

}  // namespace gridmill::signals
