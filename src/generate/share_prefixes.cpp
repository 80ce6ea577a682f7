// Common starts of rows are computed once: which rows fork the state of another one, which wait
// for it, and which states are kept for rows to come.

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include "generate/page_pool_detail.hpp"
#include "generate/prefix_store.hpp"
#include "generate/sequence_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/generate/generator.hpp"

namespace gridmill {

using generate_detail::common_state;
using generate_detail::kLeastShared;
using generate_detail::PrefixKind;
using generate_detail::Sequence;
using generate_detail::StoredPrefix;

namespace {

/// A state to begin with.
struct Source {
  std::int64_t length = 0;  ///< tokens that it saves; 0 = there is none
  SlotId slot = 0;
  std::span<const float> logprobs;
  std::span<const TokenLogprob> top;
};

}  // namespace

PrefixKind Generator::kind_of(const Sequence& row) const {
  const std::int64_t original = model_.info().original_length;
  const bool logprobs = row.request.logprobs && row.request.first_logprob < row.prefix_length();
  return {.long_row = original > 0 && row.allowed_length() > original,
          .logprobs = logprobs,
          .top_logprobs = logprobs ? row.request.top_logprobs : 0};
}

std::int64_t Generator::spare_pages() const {
  if (pool_pages_ == 0) return std::numeric_limits<std::int64_t>::max();
  std::int64_t spare = pool_pages_;
  for (std::size_t i = 0; i < live_; ++i) spare -= sequence(arrival_[i]).demand().needs;
  return std::max<std::int64_t>(spare, 0);
}

void Generator::share_prefixes() {
  if (!options_.sharing.enabled) return;
  // Rows in flight come first: what is kept leaves them its pages.
  store_->shrink(spare_pages(), *state_);
  for (std::size_t i = 0; i < live_; ++i) {
    Sequence& row = sequence(arrival_[i]);
    row.waits = false;
    row.stop_at = 0;
    if (!row.keep.empty()) keep_prefixes(arrival_[i]);
  }
  for (std::size_t i = 0; i < live_; ++i) {
    const Sequence& row = sequence(arrival_[i]);
    if (row.fed == 0 && row.pending() > 0) begin_row(i);
  }
  if (state_->forks_anywhere()) return;
  for (std::size_t i = 0; i < live_; ++i) {
    Sequence& row = sequence(arrival_[i]);
    const auto next = std::upper_bound(row.keep.begin(), row.keep.end(), row.fed);
    if (next != row.keep.end() && (row.stop_at == 0 || *next < row.stop_at)) row.stop_at = *next;
  }
}

void Generator::begin_row(std::size_t index) {
  const SlotId slot = arrival_[index];
  Sequence& row = sequence(slot);
  const bool anywhere = state_->forks_anywhere();
  const std::int64_t most = row.shareable();
  const std::span<const TokenId> prompt = row.request.prompt;
  PrefixKind wanted = kind_of(row);
  // Known from before the preemption.
  if (static_cast<std::int64_t>(row.logprobs.size()) >= row.prefix_length())
    wanted.logprobs = false;

  Source ready;
  StoredPrefix* stored = store_->find(prompt, wanted, most, anywhere, &ready.length);
  if (stored != nullptr) {
    ready.slot = stored->slot;
    ready.logprobs = stored->logprobs;
    ready.top = stored->top;
  }
  std::int64_t awaited = 0;
  Sequence* awaited_row = nullptr;
  for (std::size_t i = 0; i < live_; ++i) {
    if (i == index) continue;
    Sequence& other = sequence(arrival_[i]);
    // A younger row is not waited for, and has nothing to give before it is fed.
    if (i > index && other.fed == 0) continue;
    if (!kind_of(other).serves(wanted)) continue;
    const std::int64_t common =
        std::min(common_state(prompt, other.request.prompt, wanted.logprobs), most);
    if (common < kLeastShared) continue;
    std::int64_t now = std::min(common, other.fed);
    if (!anywhere && now < other.fed) now = 0;
    if (now > ready.length) {
      stored = nullptr;
      ready = {.length = now, .slot = arrival_[i], .logprobs = other.logprobs, .top = other.top};
    }
    // Only an older row is waited for: the oldest one never waits.
    if (i > index || other.pending() <= 0) continue;
    const std::int64_t reach =
        std::min(common, anywhere ? other.fed + other.pending() : other.prefix_length() - 1);
    if (reach > other.fed && reach >= awaited + kLeastShared) {
      awaited = reach;
      awaited_row = &other;
    }
  }
  if (awaited_row != nullptr && awaited >= ready.length + kLeastShared) {
    row.waits = true;
    if (!anywhere && (awaited_row->stop_at == 0 || awaited < awaited_row->stop_at)) {
      awaited_row->stop_at = awaited;
    }
    return;
  }
  if (ready.length >= kLeastShared) {
    if (stored != nullptr) store_->touch(*stored);
    const std::int64_t seen = row.seen;
    state_->fork(ready.slot, slot, static_cast<std::int32_t>(ready.length));
    row.share(ready.length, ready.logprobs, ready.top);
    statistics_.shared_tokens += row.seen - seen;
  }
  plan_keeping(index);
}

void Generator::plan_keeping(std::size_t index) {
  Sequence& row = sequence(arrival_[index]);
  row.keep.clear();
  if (options_.sharing.kept == 0) return;
  const std::int64_t last = row.prefix_length() - 1;
  const std::span<const TokenId> prompt = row.request.prompt;
  // Another prompt that begins alike makes it likely that more will. Of several lengths the
  // shortest serves all, and the longest saves most.
  const bool logprobs = kind_of(row).logprobs;
  std::int64_t shortest = std::numeric_limits<std::int64_t>::max();
  std::int64_t longest = 0;
  const auto compare = [&](std::span<const TokenId> other) {
    const std::int64_t common = std::min(common_state(prompt, other, logprobs), last);
    if (common < kLeastShared) return;
    shortest = std::min(shortest, common);
    longest = std::max(longest, common);
  };
  for (std::size_t i = 0; i < arrival_.size(); ++i) {
    if (i != index) compare(sequence(arrival_[i]).request.prompt);
  }
  for (const std::vector<TokenId>& other : recent_prompts_) compare(other);
  const auto keep = [&](std::int64_t position) {
    if (position <= row.fed || position < kLeastShared || position > last) return;
    if (!row.keep.empty() && position < row.keep.back() + kLeastShared) return;
    row.keep.push_back(position);
  };
  keep(shortest);
  keep(longest);
  if (row.request.later_samples > 0) keep(last);
}

void Generator::keep_prefixes(SlotId slot) {
  Sequence& row = sequence(slot);
  const bool anywhere = state_->forks_anywhere();
  while (!row.keep.empty() && row.keep.front() <= row.fed) {
    const std::int64_t length = row.keep.front();
    row.keep.erase(row.keep.begin());
    if (!anywhere && length != row.fed) continue;
    const std::span<const TokenId> prompt = row.request.prompt;
    PrefixKind kind = kind_of(row);
    std::int64_t known = 0;
    StoredPrefix* like = store_->find(prompt, kind, length, anywhere, &known);
    if (like != nullptr && known + kLeastShared > length) {
      store_->touch(*like);
      continue;
    }
    const std::int64_t spare = spare_pages();
    if (generate_detail::pages_of(length) > spare) continue;
    store_->shrink(spare - generate_detail::pages_of(length), *state_);
    StoredPrefix* prefix = store_->make_room(length, *state_);
    if (prefix == nullptr) continue;
    state_->fork(slot, prefix->slot, static_cast<std::int32_t>(length));
    prefix->kind = kind;
    prefix->length = length;
    const auto tokens = static_cast<std::ptrdiff_t>(length) + (kind.logprobs ? 1 : 0);
    prefix->tokens.assign(prompt.begin(), prompt.begin() + tokens);
    if (kind.logprobs) {
      prefix->logprobs.assign(row.logprobs.begin(), row.logprobs.begin() + tokens);
      prefix->top.assign(row.top.begin(), row.top.begin() + tokens * kind.top_logprobs);
    }
    store_->touch(*prefix);
  }
}

void Generator::forget_prefixes() {
  store_->shrink(0, *state_);
  GRIDMILL_ASSERT_HEAVY(!idle() || state_->pages_in_use() == 0, "pages were not given back");
}

std::int64_t Generator::pages_in_use() const { return state_->pages_in_use(); }

}  // namespace gridmill
