#include <algorithm>
#include <optional>
#include <utility>

#include "generate/sequence_detail.hpp"
#include "gridmill/base/check.hpp"

namespace gridmill::generate_detail {

std::int64_t wanted_rows(LogitsWanted want, std::int64_t count) {
  switch (want) {
    case LogitsWanted::all:
      return count;
    case LogitsWanted::last:
      return 1;
    case LogitsWanted::none:
      break;
  }
  return 0;
}

Sequence::Sequence(Request wanted)
    : request(std::move(wanted)),
      tokens(request.prompt),
      rules(request.sampling, request.limits, request.prompt) {
  // Nothing predicts the first token.
  const auto unknown = std::clamp<std::int64_t>(request.first_logprob, 1, prefix_length());
  for (std::int64_t i = 0; i < unknown; ++i) add_logprob(0, {});
  for (const TokenId id : request.replay) append(id);
  first_pages = demand().wants;
}

void Sequence::append(TokenId id) {
  tokens.push_back(id);
  rules.add_generated(id);
  stop_index = 0;
  const std::uint16_t text =
      request.text_watch != nullptr ? request.text_watch->push(id) : std::uint16_t{0};
  if (length() - prefix_length() <= request.limits.min_new_tokens) return;
  for (const StopToken& stop : request.stop_tokens) {
    if (stop.id == id && stop_index == 0) stop_index = stop.number;
  }
  if (stop_index == 0) stop_index = text;
}

void Sequence::add_logprob(float logprob, std::span<const TokenLogprob> likeliest) {
  logprobs.push_back(logprob);
  top.insert(top.end(), likeliest.begin(), likeliest.end());
  top.resize(logprobs.size() * static_cast<std::size_t>(request.top_logprobs), {.id = 0});
}

FinishReason Sequence::ended() const {
  if (request.score) return FinishReason::length;
  const std::int64_t generated = length() - prefix_length();
  const RowLimits& limits = request.limits;
  const std::vector<TokenId>& eod_ids = limits.eod_token_ids;
  if (generated > limits.min_new_tokens &&
      std::find(eod_ids.begin(), eod_ids.end(), tokens.back()) != eod_ids.end()) {
    return FinishReason::eod;
  }
  if (stop_index != 0) return FinishReason::stop;
  const bool full = length() >= request.max_length;
  const bool enough = limits.max_new_tokens && generated >= *limits.max_new_tokens;
  return full || enough ? FinishReason::length : FinishReason::none;
}

std::int64_t Sequence::pending() const {
  if (ended() == FinishReason::none) return length() - fed;
  if (request.logits) return length() - fed;
  return request.logprobs ? length() - 1 - fed : 0;
}

std::int64_t Sequence::pending_now() const {
  if (waits) return 0;
  return stop_at > fed ? std::min(pending(), stop_at - fed) : pending();
}

Piece Sequence::piece(std::int64_t share) const {
  const bool given = fed < prefix_length();
  std::int64_t end = fed + share;
  if (given) end = std::min(end, prefix_length());
  // A token at `next` is predicted by the one before it: fed are the predecessors of those in
  // [fed + 1, end].
  std::int64_t next = length();
  if (request.logprobs) next = std::max(fed + 1, static_cast<std::int64_t>(logprobs.size()));
  LogitsWanted want = LogitsWanted::all;
  if (request.logits) {
    // All of them, whether or not a log-probability comes with it.
  } else if (next > end) {
    want = LogitsWanted::none;
  } else if (next == end) {
    want = LogitsWanted::last;
  } else if (next > fed + 1) {
    end = next - 1;
    want = LogitsWanted::none;
  }
  return {.count = end - fed, .origin = given ? Origin::given : Origin::generated, .want = want};
}

std::int64_t Sequence::allowed_length() const {
  if (request.score) return length();
  const std::optional<std::int64_t>& most = request.limits.max_new_tokens;
  return most ? std::min(request.max_length, prefix_length() + *most) : request.max_length;
}

PageDemand Sequence::demand() const {
  // A replay that is longer than the new limit is still fed.
  const std::int64_t longest = std::max(allowed_length(), length());
  const std::int64_t needs = pages_of(fed + std::max<std::int64_t>(pending(), 0));
  return {.needs = needs,
          .wants = std::min(needs + kPagesToGrowInto, pages_of(longest)),
          .first = first_pages};
}

void Sequence::take(std::int64_t count) {
  fed += count;
  seen = std::max(seen, fed);
}

void Sequence::share(std::int64_t length, std::span<const float> known,
                     std::span<const TokenLogprob> likeliest) {
  if (request.logprobs && request.first_logprob < prefix_length()) {
    const auto top_count = static_cast<std::size_t>(request.top_logprobs);
    GRIDMILL_ASSERT(static_cast<std::int64_t>(known.size()) > length,
                    "log-probabilities of shared tokens are missing");
    for (std::size_t t = logprobs.size(); t <= static_cast<std::size_t>(length); ++t) {
      add_logprob(known[t], likeliest.subspan(t * top_count, top_count));
    }
  }
  take(length);
}

std::int64_t Sequence::refed(std::int64_t count) const {
  return std::clamp<std::int64_t>(seen - fed, 0, count);
}

}  // namespace gridmill::generate_detail
