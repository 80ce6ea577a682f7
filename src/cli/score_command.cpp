#include "cli/command.hpp"
#include "cli/generate_options.hpp"
#include "cli/prompt_options.hpp"
#include "cli/run_options.hpp"
#include "gridmill/job/job.hpp"

namespace gridmill::cli {

ExitCode run_score(const Arguments& arguments, const MpiSession* /*session*/) {
  JobConfig config;
  config.score.enabled = true;
  config.logprobs = true;
  // Rows share nothing: with --logits a shared token would have no logits, and with
  // --logprobs-for=counted rows have different log-probabilities.
  config.prefix_memory = 0;
  CommandSyntax syntax{
      .name = "score",
      .example =
          "Example: mpirun -n 4 gridmill score --model out/stories.h5 --prompts texts.txt "
          "--output scores.h5",
      .summary =
          "Log-probability of every token of given texts: token_logprobs [N,T], sum_logprob "
          "[N], length [N].\n"
          "Killed or stopped (exit code 75)? The same command goes on, also on another grid.",
      .config_file = true,
      .config_path = &config.config_file};
  syntax.options.add(run_options(config.run))
      .add(score_options(config))
      .add(prompt_options(config.prompting, config.prompt_field));
  const auto check = [&config] {
    check_run_options(config.run);
    check_score_options(config);
  };
  if (!parse_on_every_rank(syntax, arguments, check)) return ExitCode::ok;
  config.command_line = {"gridmill", "score"};
  config.command_line.insert(config.command_line.end(), arguments.begin(), arguments.end());
  return run_job(config);
}

}  // namespace gridmill::cli
