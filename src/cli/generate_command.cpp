#include "cli/command.hpp"
#include "cli/generate_options.hpp"
#include "cli/prompt_options.hpp"
#include "cli/run_options.hpp"
#include "gridmill/job/job.hpp"

namespace gridmill::cli {

ExitCode run_generate(const Arguments& arguments, const MpiSession* /*session*/) {
  JobConfig config;
  CommandSyntax syntax{
      .name = "generate",
      .example = "Example: mpirun -n 8 gridmill generate --config jobs/stories.cfg --dp 4 --fsdp 2",
      .summary =
          "Generates a completion of every prompt into one shared result file.\n"
          "Killed or stopped (exit code 75)? The same command goes on, also on another grid.",
      .config_file = true,
      .config_path = &config.config_file};
  syntax.options.add(run_options(config.run))
      .add(generate_options(config))
      .add(prompt_options(config.prompting, config.prompt_field));
  const auto check = [&config] {
    check_run_options(config.run);
    check_generate_options(config);
    if (config.top_logprobs > 0) config.logprobs = true;
    if (config.ignore_eos) config.limits.eod_token_ids = {-1};
  };
  if (!parse_on_every_rank(syntax, arguments, check)) return ExitCode::ok;
  config.command_line = {"gridmill", "generate"};
  config.command_line.insert(config.command_line.end(), arguments.begin(), arguments.end());
  return run_job(config);
}

}  // namespace gridmill::cli
