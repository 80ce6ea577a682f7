#include <algorithm>
#include <utility>

#include "generate/sequence_detail.hpp"

namespace gridmill::generate_detail {

namespace {
/// With 0, rows are put out soon after they were taken in; with more, pages lie idle. By
/// tests/simulation/pool_simulation.cpp 0 is at best 1 % faster than 1 and up to 8 % slower; 2 is
/// up to 7 % slower, 4 up to 15 %, and neither is ever faster.
constexpr std::int64_t kPagesToGrowInto = 1;
}  // namespace

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

Sequence::Sequence(Request wanted) : request(std::move(wanted)), tokens(request.prompt) {
  tokens.insert(tokens.end(), request.replay.begin(), request.replay.end());
  logprobs.push_back(0);  // nothing predicts the first token
  first_pages = demand().wants;
}

FinishReason Sequence::ended() const {
  const std::int64_t generated = length() - prefix_length();
  if (generated > 0 && std::find(request.eod_ids.begin(), request.eod_ids.end(), tokens.back()) !=
                           request.eod_ids.end()) {
    return FinishReason::eod;
  }
  const bool full = length() >= request.max_length;
  const bool enough = request.max_new_tokens && generated >= *request.max_new_tokens;
  return full || enough ? FinishReason::length : FinishReason::none;
}

std::int64_t Sequence::pending() const {
  if (ended() == FinishReason::none) return length() - fed;
  return request.logprobs ? length() - 1 - fed : 0;
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
  if (next > end) {
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
  if (!request.max_new_tokens) return request.max_length;
  return std::min(request.max_length, prefix_length() + *request.max_new_tokens);
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

std::int64_t Sequence::refed(std::int64_t count) const {
  return std::clamp<std::int64_t>(seen - fed, 0, count);
}

}  // namespace gridmill::generate_detail
