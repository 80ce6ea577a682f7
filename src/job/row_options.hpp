#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "gridmill/generate/request.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill::job_detail {

/// How the rows of a job are sampled and where they end: the job's options, and what a record
/// says instead.
class RowOptions {
 public:
  /// References must outlive this. @throws UsageError for stop strings without a tokenizer.
  RowOptions(const JobConfig& config, const JobPlan& plan, std::int64_t vocab_size,
             const Tokenizer* tokenizer);

  /// Sets the options of `request`, whose prompt and indices are set.
  /// @param record  of the prompt, a JSON object; nothing where prompts have none.
  /// @throws UsageError that names a field of the record's sampling object.
  void apply(Request& request, const std::optional<std::string>& record) const;

 private:
  void set_stops(Request& request) const;

  const JobConfig& config_;
  const JobPlan& plan_;
  std::int64_t vocab_size_;
  const Tokenizer* tokenizer_;
  std::map<std::string, TokenId> special_tokens_;
};

}  // namespace gridmill::job_detail
