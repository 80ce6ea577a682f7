#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "gridmill/generate/request.hpp"
#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill::job_detail {

/// Rows that left the generator, as the result file of a job stores them.
class RowResults {
 public:
  RowResults(const JobConfig& config, const JobPlan& plan);
  /// Refers to `completion`, whose log-probabilities of tokens that are not wanted become 0, and to
  /// this until the next call.
  [[nodiscard]] RowResult of(Completion& completion);
  /// Refers to `reason` and to this until the next call.
  [[nodiscard]] RowResult failed(RowId row, const std::string& reason);
  /// Before the row ends, in the order in which they were made.
  void add_logits(const RowLogits& logits);

 private:
  ScoreOptions score_;
  bool counted_only_;
  std::vector<std::uint8_t> counts_;  ///< [max_length], if only some tokens count
  std::unordered_map<RowId, std::uint32_t> logits_crc_;
};

}  // namespace gridmill::job_detail
