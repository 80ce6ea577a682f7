#include "cli/command.hpp"
#include "cli/prompt_options.hpp"
#include "cli/run_options.hpp"
#include "gridmill/job/score_job.hpp"

namespace gridmill::cli {

ExitCode run_score(const Arguments& arguments, const MpiSession* /*session*/) {
  ScoreConfig config;
  CommandSyntax syntax{
      .name = "score",
      .example =
          "Example: mpirun -n 4 gridmill score --model out/stories.h5 --prompts texts.txt "
          "--output scores.h5",
      .summary =
          "Log-probability of every token of given texts: token_logprobs [N,T], sum_logprob "
          "[N], length [N]."};
  po::options_description own("What is scored");
  auto add = own.add_options();
  add("prompts", po::value(&config.prompts)->required()->value_name("FILE"),
      ".jsonl, .txt or .h5, as for generate");
  add("output", po::value(&config.output)->required()->value_name("S.h5"),
      "appears when it is complete");
  add("add-special-tokens", switch_value(&config.add_special_tokens),
      "as the tokenizer's post-processor says");
  add("logits", switch_value(&config.logits), "add logits [N,T,V]");
  syntax.options.add(run_options(config.run))
      .add(own)
      .add(prompt_options(config.prompting, config.prompt_field));
  const auto check = [&config] {
    check_run_options(config.run);
    check_prompt_options(config.prompting);
  };
  if (!parse_on_every_rank(syntax, arguments, check)) return ExitCode::ok;
  return run_score_job(config);
}

}  // namespace gridmill::cli
