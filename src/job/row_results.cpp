#include <algorithm>
#include <cstddef>
#include <span>

#include "gridmill/base/crc32c.hpp"
#include "job/output_detail.hpp"
#include "job/row_results_detail.hpp"

namespace gridmill::job_detail {

RowResults::RowResults(const JobConfig& config, const JobPlan& plan)
    : score_(config.score), counted_only_(config.logprobs_for == "counted") {
  if (counts_some(score_)) counts_.resize(static_cast<std::size_t>(plan.max_length));
}

RowResult RowResults::of(Completion& completion) {
  if (completion.reason == FinishReason::error) {
    return failed(completion.row, completion.failure);
  }
  RowResult result{.row = completion.row,
                   .status = RowStatus::done,
                   .finish_reason = completion.reason,
                   .prefix_length = static_cast<std::uint32_t>(completion.prefix_length),
                   .tokens = completion.tokens,
                   .logprobs = completion.logprobs,
                   .top = completion.top,
                   .stop_index = completion.stop_index,
                   .flags = completion.flags};
  if (!score_.enabled) return result;
  result.finish_reason = FinishReason::none;
  result.prefix_length = 0;
  if (const auto crc = logits_crc_.extract(completion.row)) result.logits_crc = crc.mapped();
  if (counts_.empty()) return result;
  const std::vector<std::uint8_t>& counts = completion.counts;
  std::fill(std::copy(counts.begin(), counts.end(), counts_.begin()), counts_.end(),
            std::uint8_t{0});
  result.valid = counts_;
  result.prefix_length = static_cast<std::uint32_t>(
      std::find(counts.begin(), counts.end(), std::uint8_t{1}) - counts.begin());
  const std::size_t top = completion.top.size() / std::max<std::size_t>(counts.size(), 1);
  for (std::size_t i = 0; counted_only_ && i < counts.size(); ++i) {
    if (counts[i] != 0) continue;
    completion.logprobs[i] = 0;
    const auto first = completion.top.begin() + static_cast<std::ptrdiff_t>(i * top);
    std::fill(first, first + static_cast<std::ptrdiff_t>(top), TokenLogprob{.id = 0});
  }
  return result;
}

RowResult RowResults::failed(RowId row, const std::string& reason) {
  std::fill(counts_.begin(), counts_.end(), std::uint8_t{0});
  logits_crc_.erase(row);
  return {.row = row,
          .status = RowStatus::failed,
          .finish_reason = FinishReason::error,
          .failure = reason,
          .valid = counts_};
}

void RowResults::add_logits(const RowLogits& logits) {
  // A preempted row begins again.
  std::uint32_t& crc = logits_crc_[logits.row];
  if (logits.position == 0) crc = 0;
  crc = crc32c(std::as_bytes(logits.logits.flat()), crc);
}

}  // namespace gridmill::job_detail
