#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// One row to generate. Its result depends on these fields and the model alone.
struct Request {
  RowId row = 0;                ///< the caller's name for it
  std::vector<TokenId> prompt;  ///< at least one token
  /// Tokens that an interrupted run has generated; they are fed again, not drawn again.
  std::vector<TokenId> replay;
  float temperature = 1.0F;  ///< 0 = greedy
  std::uint64_t seed = 0;
  PromptId prompt_index = 0;
  std::uint32_t sample_index = 0;
  std::int64_t max_length = 0;                 ///< of the row, prompt included
  std::optional<std::int64_t> max_new_tokens;  ///< generated ones, replayed included
  std::vector<TokenId> eod_ids;                ///< a generated one ends the row
  bool logprobs = false;
};

/// A finished row.
struct Completion {
  RowId row = 0;
  std::vector<TokenId> tokens;     ///< prompt, then generated; a final eod token included
  std::int64_t prefix_length = 0;  ///< prompt tokens
  /// With Request::logprobs: log-probability of each token under the model's own distribution
  /// (before temperature); entry 0 is 0.
  std::vector<float> logprobs;
  FinishReason reason = FinishReason::none;
  std::string failure;  ///< why, for FinishReason::error
};

/// A row that is being worked on: enough to resume it.
struct InFlightRow {
  RowId row = 0;
  std::int64_t prefix_length = 0;
  std::span<const TokenId> tokens;  ///< prompt and what has been generated; valid until next step()
  /// With Request::logprobs: of the tokens whose log-probability is known by now. All of them,
  /// once a token has been generated in this run.
  std::span<const float> logprobs{};
};

}  // namespace gridmill
