// `gridmill generate` that saves rows half-way every 40 ms instead of every minute, for the suite
// to hit the moment. All else is the program's.

#include <chrono>
#include <cstdio>
#include <optional>

#include "cli/command.hpp"
#include "cli/generate_options.hpp"
#include "cli/run_options.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/job.hpp"
#include "gridmill/job/signals.hpp"

int main(int argc, char** argv) {
  using namespace gridmill;  // NOLINT(google-build-using-namespace): a program of one function
  signals::install();
  const MpiSession session;
  ExitCode code = ExitCode::ok;
  try {
    JobConfig config;
    cli::CommandSyntax syntax{.name = "generate", .example = "", .summary = ""};
    syntax.options.add(cli::run_options(config.run)).add(cli::generate_options(config));
    if (!cli::parse(syntax, {argv + 1, argv + argc})) return 64;
    cli::check_run_options(config.run);
    cli::check_generate_options(config);
    config.partial_interval = std::chrono::milliseconds{40};
    code = run_job(config);
  } catch (...) {
    const Error error = error_in_flight();
    if (session.rank() == 0) std::fprintf(stderr, "gridmill: error: %s\n", error.what());
    code = error.code();
  }
  Communicator::duplicate(MPI_COMM_WORLD).barrier();
  return static_cast<int>(code);
}
