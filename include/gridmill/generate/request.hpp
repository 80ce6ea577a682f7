#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor_view.hpp"
#include "gridmill/sampling/sampling_options.hpp"
#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {

/// Looks at the text of a row as it grows, for its stop strings. One a row; stateful.
class TextWatch {
 public:
  TextWatch() = default;
  TextWatch(const TextWatch&) = delete;
  TextWatch& operator=(const TextWatch&) = delete;
  virtual ~TextWatch() = default;
  /// Takes the next generated token.
  /// @return the number of the stop string that it completes, from 1; 0 = none.
  [[nodiscard]] virtual std::uint16_t push(TokenId id) = 0;
};

/// A token that ends a row, and its number in RowResult::stop_index.
struct StopToken {
  TokenId id = 0;
  std::uint16_t number = 0;
};

/// One row to generate, or to score. Its result depends on these fields and the model alone.
struct Request {
  RowId row = 0;                ///< the caller's name for it
  std::vector<TokenId> prompt;  ///< at least one token
  /// Tokens that an interrupted run has generated; they are fed again, not drawn again.
  std::vector<TokenId> replay;
  SamplingOptions sampling{};
  PromptId prompt_index = 0;
  std::uint32_t sample_index = 0;
  /// Rows of the same prompt that may come later: its state is worth keeping.
  std::uint32_t later_samples = 0;
  std::int64_t max_length = 0;  ///< of the row, prompt included
  /// Limits in tokens count replayed ones; a generated eod id ends the row. Stop ids and strings
  /// are in `stop_tokens` and `text_watch`, where they are resolved.
  RowLimits limits{};
  std::vector<StopToken> stop_tokens{};
  std::shared_ptr<TextWatch> text_watch{};  ///< null without stop strings
  bool logprobs = false;
  /// Most likely tokens wanted at each position; needs `logprobs`.
  std::int32_t top_logprobs = 0;
  /// RowRecord::flags; handed on.
  std::uint16_t flags = 0;
  /// The first token whose log-probability is wanted; those of the tokens before it are 0, and cost
  /// nothing. Nothing predicts token 0.
  std::int64_t first_logprob = 1;
  /// Teacher forcing: the prompt is the whole row, and nothing is generated.
  bool score = false;
  /// With `score`: the logits of each position are wanted (Generator::logits).
  bool logits = false;
  /// Which tokens count, for a caller that scores; handed on.
  std::vector<std::uint8_t> counts{};
};

/// A finished row.
struct Completion {
  RowId row = 0;
  std::vector<TokenId> tokens;     ///< prompt, then generated; a final eod token included
  std::int64_t prefix_length = 0;  ///< prompt tokens
  /// With Request::logprobs: log-probability of each token under the model's own distribution
  /// (before temperature); entry 0 is 0.
  std::vector<float> logprobs;
  /// With Request::top_logprobs: so many entries a token, in order; those of entry 0 are empty.
  std::vector<TokenLogprob> top{};
  std::uint16_t stop_index = 0;  ///< number of what ended the row, for FinishReason::stop
  std::uint16_t flags = 0;       ///< of the request
  FinishReason reason = FinishReason::none;
  std::string failure;                 ///< why, for FinishReason::error
  std::vector<std::uint8_t> counts{};  ///< of the request
};

/// Logits that a pass has made of a row.
struct RowLogits {
  RowId row = 0;
  std::int64_t position = 0;          ///< of the first one: after consuming tokens 0 .. position
  TensorView<const float, 2> logits;  ///< [positions, V]
};

/// A row that is being worked on: enough to resume it.
struct InFlightRow {
  RowId row = 0;
  std::int64_t prefix_length = 0;
  std::span<const TokenId> tokens;  ///< prompt and what has been generated; valid until next step()
  /// With Request::logprobs: of the tokens whose log-probability is known by now. All of them,
  /// once a token has been generated in this run.
  std::span<const float> logprobs{};
  std::span<const TokenLogprob> top{};  ///< of the same tokens
  std::uint16_t flags = 0;              ///< of the request
};

}  // namespace gridmill
