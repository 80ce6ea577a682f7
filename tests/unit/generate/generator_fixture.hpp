#pragma once

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "gridmill/generate/generator.hpp"
#include "gridmill/sampling/sampling_plan.hpp"
#include "support/model_run.hpp"
#include "support/tiny_models.hpp"

namespace gridmill::test {

/// Admits `requests` in order as slots become free and runs until all have ended.
inline std::map<RowId, Completion> run_all(Generator& generator, std::vector<Request> requests) {
  std::map<RowId, Completion> done;
  auto next = requests.begin();
  while (next != requests.end() || !generator.idle()) {
    while (next != requests.end() && generator.free_slots() > 0) {
      if (!generator.admit(*next)) break;
      ++next;
    }
    for (Completion& completion : generator.step()) done[completion.row] = std::move(completion);
  }
  return done;
}

/// The definition of a row, as a loop over the whole model: the token with the best selection
/// score, until an eod or the length.
inline Completion expected_row(ModelRun& run, const Request& request) {
  run.state->reset(0);
  Completion row;
  row.row = request.row;
  row.tokens = request.prompt;
  row.prefix_length = static_cast<std::int64_t>(request.prompt.size());
  Tensor<float, 2> logits = run.feed(0, row.tokens);
  for (;;) {
    const auto length = static_cast<std::int64_t>(row.tokens.size());
    const std::int64_t generated = length - row.prefix_length;
    if (generated > 0 && std::count(request.limits.eod_token_ids.begin(),
                                    request.limits.eod_token_ids.end(), row.tokens.back()) > 0) {
      row.reason = FinishReason::eod;
      return row;
    }
    if (length >= request.max_length ||
        (request.limits.max_new_tokens && generated >= *request.limits.max_new_tokens)) {
      row.reason = FinishReason::length;
      return row;
    }
    const SamplingPlan plan{.temperature = request.sampling.temperature,
                            .key = {.seed = request.sampling.seed,
                                    .prompt = request.prompt_index,
                                    .sample = request.sample_index,
                                    .position = static_cast<std::uint32_t>(length)}};
    const std::span<const float> last = std::as_const(logits).view().row(logits.extent(0) - 1);
    TokenId best = 0;
    for (TokenId id = 1; id < static_cast<TokenId>(last.size()); ++id) {
      if (selection_score(plan, id, last[static_cast<std::size_t>(id)]) >
          selection_score(plan, best, last[static_cast<std::size_t>(best)])) {
        best = id;
      }
    }
    row.tokens.push_back(best);
    const std::vector<TokenId> one = {best};
    if (static_cast<std::int64_t>(row.tokens.size()) < request.max_length)
      logits = run.feed(0, one);
  }
}

inline Request request_of(RowId row, std::vector<TokenId> prompt, std::int64_t max_length) {
  Request request;
  request.row = row;
  request.prompt = std::move(prompt);
  request.prompt_index = static_cast<PromptId>(row);
  request.sampling.seed = 7;
  request.max_length = max_length;
  return request;
}

}  // namespace gridmill::test
