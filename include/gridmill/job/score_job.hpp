#pragma once

#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/job/job_config.hpp"

namespace gridmill {

/// One run of `gridmill score`.
struct ScoreConfig {
  RunOptions run;
  std::string prompts;
  std::string prompt_field = "prompt";
  PromptOptions prompting;
  std::string output;
  bool add_special_tokens = true;
  bool logits = false;
};

/// Log-probabilities of given texts (teacher forcing), every row on one replica. Collective over
/// every rank. A prompt that cannot be used gets length 0.
/// @return ok, or failed_rows if some prompt could not be used.
[[nodiscard]] ExitCode run_score_job(const ScoreConfig& config);

}  // namespace gridmill
