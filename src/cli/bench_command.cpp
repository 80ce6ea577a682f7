#include <filesystem>

#include "cli/bench_options.hpp"
#include "cli/command.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/convert/convert.hpp"
#include "gridmill/job/bench_job.hpp"

namespace gridmill::cli {

ExitCode run_bench(const Arguments& arguments, const MpiSession* session) {
  BenchConfig config;
  const CommandSyntax syntax = bench_syntax(config);
  const auto check = [&config, session] {
    check_bench_options(config);
    if (session->size() > 1) {
      throw UsageError(
          fmt::format("bench measures one rank, but this is a run of {}", session->size()));
    }
  };
  if (!parse_on_every_rank(syntax, arguments, check)) return ExitCode::ok;
  Json model;
  if (config.model.empty() || !std::filesystem::exists(config.model)) {
    if (config.shape.empty()) {
      throw UsageError(fmt::format(
          "--model {} does not exist and there is no --shape to make it of", config.model));
    }
    model = model_of_shape(config.shape, model_of_config);
  }
  if (config.model.empty()) {
    const auto backend = make_bench_backend(config);
    if (!backend->host_memory()) {
      bench_in_memory(config, model, *backend);
      return ExitCode::ok;
    }
  }
  run_bench_job(config, model);
  return ExitCode::ok;
}

}  // namespace gridmill::cli
