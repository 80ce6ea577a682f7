#include "job/job_files.hpp"

#include <vector>

#include "gridmill/output/output_target.hpp"
#include "job/prometheus.hpp"

namespace gridmill::job_detail {

void check_job_files(const JobConfig& config) {
  std::vector<CommandInput> inputs = {{"--model", config.run.model},
                                      {"--prompts", config.prompts},
                                      {"--config", config.config_file}};
  static_cast<void>(OutputTarget::decide(
      config.output, {.name = "--output",
                      .use = OutputUse::continued,
                      .format = config.score.enabled ? "gridmill-scores" : "gridmill-results",
                      .inputs = inputs,
                      .side_files = {".lock", ".runs.jsonl"}}));
  if (config.metrics.empty()) return;
  for (const CommandInput& input : result_file_inputs(config.output)) inputs.push_back(input);
  static_cast<void>(OutputTarget::decide(
      config.metrics,
      {.name = "--metrics",
       .use = is_prometheus_file(config.metrics) ? OutputUse::replaced : OutputUse::appended,
       .format = {},
       .inputs = inputs,
       .side_files = {}}));
}

}  // namespace gridmill::job_detail
