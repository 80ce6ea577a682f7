#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/token_logprob.hpp"
#include "gridmill/model/model.hpp"

namespace gridmill::generate_detail {

/// Leading tokens that a and b have in common.
[[nodiscard]] std::int64_t common_length(std::span<const TokenId> a, std::span<const TokenId> b);
/// Tokens after which one state serves both. The log-probability of the token behind them comes
/// with the last of them, so with `logprobs` that token has to be common, too.
[[nodiscard]] inline std::int64_t common_state(std::span<const TokenId> a,
                                               std::span<const TokenId> b, bool logprobs) {
  return std::max<std::int64_t>(common_length(a, b) - (logprobs ? 1 : 0), 0);
}

/// Tokens below which sharing costs more than it saves: every prompt begins with the same [bos].
inline constexpr std::int64_t kLeastShared = 16;

/// Differences between states of equal tokens, and known facts of the tokens beside the state.
struct PrefixKind {
  /// Rotates by the factors of long rows (ModelInfo::original_length).
  bool long_row = false;
  /// Log-probabilities of the prompt are known, or wanted.
  bool logprobs = false;
  std::int32_t top_logprobs = 0;
  /// Whether a row of kind `wanted` can begin with a state of this kind.
  [[nodiscard]] bool serves(const PrefixKind& wanted) const {
    return long_row == wanted.long_row &&
           (!wanted.logprobs || (logprobs && top_logprobs == wanted.top_logprobs));
  }
};

/// The beginning of prompts, and the slot of the batch's state that holds it.
struct StoredPrefix {
  SlotId slot = 0;
  PrefixKind kind;
  std::int64_t length = 0;        ///< tokens that the state has consumed; 0: the slot is free
  std::vector<TokenId> tokens;    ///< these, and the next one where log-probabilities are known
  std::vector<float> logprobs;    ///< PrefixKind::logprobs: of all `tokens`
  std::vector<TokenLogprob> top;  ///< PrefixKind::top_logprobs of each of these
  std::uint64_t used = 0;         ///< larger = later
};

/// Common starts of prompts that were computed once, in slots behind those of the rows. Least
/// recently used ones leave first. Decides by tokens and lengths only, which are equal on all ranks
/// of a tp group.
class PrefixStore {
 public:
  /// @param first_slot  slots from here on belong to the store.
  /// @param positions   most positions of all prefixes together, in whole pages; 0 = no limit.
  PrefixStore(SlotId first_slot, int slots, std::int64_t positions);

  /// The prefix that saves a row of `prompt` most, of at most `most` tokens; nullptr = none.
  /// @param cut  a state can be used up to any position, not only as a whole.
  /// @param length  receives how many tokens it shares.
  [[nodiscard]] StoredPrefix* find(std::span<const TokenId> prompt, const PrefixKind& wanted,
                                   std::int64_t most, bool cut, std::int64_t* length);
  /// A free slot for a new prefix of `length` tokens; others leave for it. nullptr if the limit is
  /// lower.
  [[nodiscard]] StoredPrefix* make_room(std::int64_t length, BatchState& state);
  /// Removes prefixes until they have at most `pages` pages.
  void shrink(std::int64_t pages, BatchState& state);
  /// Marks as used last.
  void touch(StoredPrefix& prefix) { prefix.used = ++clock_; }
  /// Pages of all prefixes, shared ones counted once a prefix.
  [[nodiscard]] std::int64_t pages() const;

 private:
  [[nodiscard]] StoredPrefix* oldest();
  static void remove(StoredPrefix& prefix, BatchState& state);

  std::vector<StoredPrefix> prefixes_;
  std::int64_t most_pages_;
  std::uint64_t clock_ = 0;
};

}  // namespace gridmill::generate_detail
