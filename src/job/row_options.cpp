#include "job/row_options.hpp"

#include <memory>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/sampling/record_options.hpp"
#include "gridmill/tokenizer/stop_texts.hpp"

namespace gridmill::job_detail {

namespace {

/// Numbers of stops are u16 in the result file.
constexpr std::size_t kMostStops = 65'535;

class StopWatch final : public TextWatch {
 public:
  StopWatch(const Tokenizer& tokenizer, const std::vector<std::string>& stops,
            std::span<const TokenId> prompt)
      : texts_(tokenizer, stops, prompt) {}
  [[nodiscard]] std::uint16_t push(TokenId id) override {
    const std::optional<StopMatch> match = texts_.push(id);
    return match ? static_cast<std::uint16_t>(match->stop + 1) : std::uint16_t{0};
  }

 private:
  StopTexts texts_;
};

}  // namespace

RowOptions::RowOptions(const JobConfig& config, const JobPlan& plan, std::int64_t vocab_size,
                       const Tokenizer* tokenizer)
    : config_(config), plan_(plan), vocab_size_(vocab_size), tokenizer_(tokenizer) {
  if (tokenizer_ != nullptr) special_tokens_ = special_token_texts(*tokenizer_);
  if (tokenizer_ == nullptr && !plan.limits.stop.empty()) {
    throw UsageError(fmt::format("--stop needs a tokenizer, and {} holds none", config.run.model));
  }
}

void RowOptions::apply(Request& request, const std::optional<std::string>& record) const {
  request.sampling = plan_.sampling;
  request.limits = plan_.limits;
  request.logprobs = config_.logprobs;
  request.top_logprobs = config_.top_logprobs;
  if (config_.logprobs_for == "generated") {
    request.first_logprob = static_cast<std::int64_t>(request.prompt.size());
  }
  if (record) {
    const Json sampling = find_record_options(*record, config_.sampling_field);
    if (!sampling.is_null()) {
      const std::optional<std::uint64_t> seed =
          override_from_record(sampling, request.sampling, request.limits,
                               {{"samples_per_prompt", config_.samples_per_prompt},
                                {"logprobs", config_.logprobs},
                                {"top_logprobs", config_.top_logprobs}});
      check_against_vocabulary(request.sampling, request.limits, vocab_size_, true);
      // The text of such a row does not depend on its place in the file.
      if (seed) request.prompt_index = 0;
    }
  }
  set_stops(request);
}

void RowOptions::set_stops(Request& request) const {
  RowLimits& limits = request.limits;
  if (limits.stop.size() + limits.stop_token_ids.size() > kMostStops) {
    throw UsageError(fmt::format("stop and stop_token_ids have {} entries, at most {} are possible",
                                 limits.stop.size() + limits.stop_token_ids.size(), kMostStops));
  }
  for (std::size_t i = 0; i < limits.stop_token_ids.size(); ++i) {
    request.stop_tokens.push_back(
        {.id = limits.stop_token_ids[i],
         .number = static_cast<std::uint16_t>(limits.stop.size() + i + 1)});
  }
  if (limits.stop.empty()) return;
  if (tokenizer_ == nullptr) throw UsageError("stop needs a tokenizer, and the model has none");
  for (std::size_t i = 0; i < limits.stop.size(); ++i) {
    const auto special = special_tokens_.find(limits.stop[i]);
    if (special == special_tokens_.end()) continue;
    request.stop_tokens.push_back(
        {.id = special->second, .number = static_cast<std::uint16_t>(i + 1)});
    // Like every stop id it is forbidden while the row is too short.
    limits.stop_token_ids.push_back(special->second);
  }
  request.text_watch = std::make_shared<StopWatch>(*tokenizer_, limits.stop, request.prompt);
}

}  // namespace gridmill::job_detail
