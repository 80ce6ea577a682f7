#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "generate/page_pool_detail.hpp"
#include "gridmill/generate/request.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/sampling/row_rules.hpp"

namespace gridmill::generate_detail {

/// The part of a row that one pass feeds: the next `count` tokens.
struct Piece {
  std::int64_t count = 0;
  Origin origin = Origin::given;
  LogitsWanted want = LogitsWanted::none;
};

/// Tokens of `count` whose logits are wanted: the last ones.
[[nodiscard]] std::int64_t wanted_rows(LogitsWanted want, std::int64_t count);

/// A row in flight: what has been generated, and how much of it the model's state holds.
struct Sequence {
  explicit Sequence(Request wanted);

  Request request;
  std::vector<TokenId> tokens;    ///< prompt, replayed, generated
  std::vector<float> logprobs;    ///< one a token whose log-probability is known
  std::vector<TokenLogprob> top;  ///< Request::top_logprobs of each of these
  RowRules rules;
  std::uint16_t stop_index = 0;  ///< of the stop that the last token has met; 0 = none
  std::int64_t fed = 0;          ///< tokens that the slot's state holds
  std::int64_t seen = 0;         ///< the most it ever held; more than `fed` after a put_out()
  std::int64_t first_pages = 0;  ///< PageDemand::first
  bool waits = false;            ///< in this pass, for a state that another row computes
  std::int64_t stop_at = 0;      ///< position that no pass may skip, for others to fork; 0 = none
  /// Positions at which the state is to be kept for rows to come, ascending.
  std::vector<std::int64_t> keep{};

  [[nodiscard]] std::int64_t length() const { return static_cast<std::int64_t>(tokens.size()); }
  [[nodiscard]] std::int64_t prefix_length() const {
    return static_cast<std::int64_t>(request.prompt.size());
  }
  /// Why no further token will be generated; none = one will.
  [[nodiscard]] FinishReason ended() const;
  /// Tokens still to feed. The last token of an ended row has nothing to predict; without
  /// logprobs, neither have those before it.
  [[nodiscard]] std::int64_t pending() const;
  /// The number of these that the next pass may feed.
  [[nodiscard]] std::int64_t pending_now() const;
  /// Tokens that a row can begin with instead of feeding them: the last one of the prompt has to
  /// predict the next, which is drawn, or replayed and may need its log-probability.
  [[nodiscard]] std::int64_t shareable() const { return prefix_length() - 1; }
  /// The piece for a pass with room for `share` > 0 of the pending tokens: one origin, and
  /// either no known log-probability or known ones alone.
  [[nodiscard]] Piece piece(std::int64_t share) const;
  /// Tokens that the row may have in the end, as far as its request says.
  [[nodiscard]] std::int64_t allowed_length() const;
  [[nodiscard]] PageDemand demand() const;

  void take(std::int64_t count);
  /// The slot's state holds the first `length` tokens now, which were not fed.
  /// @param known  log-probabilities of tokens 0 .. length, with `likeliest` in their place, where
  /// those of the prompt are wanted.
  void share(std::int64_t length, std::span<const float> known,
             std::span<const TokenLogprob> likeliest);
  /// Appends a generated token.
  void append(TokenId id);
  /// The log-probability of the next token that has none, and the likeliest ones in its place.
  void add_logprob(float logprob, std::span<const TokenLogprob> likeliest);
  /// The state is lost, what has been generated is kept: all of it will be fed again.
  void put_out() {
    fed = 0;
    keep.clear();
  }
  /// How many of the next `count` tokens were fed before the row was preempted.
  [[nodiscard]] std::int64_t refed(std::int64_t count) const;
};

}  // namespace gridmill::generate_detail
