#include "gridmill/generate/generator.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "generate/page_pool_detail.hpp"
#include "generate/pass_plan_detail.hpp"
#include "generate/prefix_store.hpp"
#include "generate/sequence_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

using generate_detail::PageDemand;
using generate_detail::Piece;
using generate_detail::Sequence;

namespace {

void check_request(const Request& request, const ModelInfo& model, std::int64_t slot_length) {
  const auto length = static_cast<std::int64_t>(request.prompt.size() + request.replay.size());
  if (request.prompt.empty()) throw UsageError("a prompt needs at least one token");
  if (request.max_length > slot_length) {
    throw UsageError(fmt::format("row {} asks for up to {} tokens, but slots hold {}", request.row,
                                 request.max_length, slot_length));
  }
  if (length > request.max_length) {
    throw UsageError(fmt::format("row {} has {} tokens, but its max_length is {}", request.row,
                                 length, request.max_length));
  }
  for (const std::vector<TokenId>* tokens : {&request.prompt, &request.replay}) {
    for (const TokenId id : *tokens) {
      if (id < 0 || id >= model.vocab_size) {
        throw UsageError(fmt::format("row {}: token id {} is outside the vocabulary [0, {})",
                                     request.row, id, model.vocab_size));
      }
    }
  }
}

}  // namespace

Generator::Generator(const Model& model, ExecutionContext& context, ParameterSource& parameters,
                     const GeneratorOptions& options)
    : model_(model), context_(context), parameters_(parameters), options_(options) {
  if (options.slots < 1 || options.max_length < 1 || options.pass_rows < 1) {
    throw UsageError(fmt::format(
        "a generator needs slots, max_length and pass_rows of at least 1, found {}, {}, {}",
        options.slots, options.max_length, options.pass_rows));
  }
  // A state of fixed size takes no pages.
  if (options.pool_positions != 0 && !model.info().recurrent) {
    pool_pages_ = options.pool_positions / kKvPagePositions;
    if (pool_pages_ < generate_detail::pages_of(options.max_length)) {
      throw UsageError(fmt::format(
          "a pool of {} positions has no room for one row of {}: at least {} are needed",
          options.pool_positions, options.max_length,
          generate_detail::pages_of(options.max_length) * kKvPagePositions));
    }
  }
  const int kept = options.sharing.enabled ? options.sharing.kept : 0;
  state_ = model.make_pooled_state(context, options.slots + kept, options.max_length,
                                   options.pool_positions);
  store_ = std::make_unique<generate_detail::PrefixStore>(options.slots, kept,
                                                          options.sharing.kept_positions);
  slots_.resize(static_cast<std::size_t>(options.slots));
  used_.resize(slots_.size(), false);
}

Generator::~Generator() = default;

Sequence& Generator::sequence(SlotId slot) const { return *slots_[static_cast<std::size_t>(slot)]; }

std::vector<PageDemand> Generator::demands() const {
  std::vector<PageDemand> rows;
  rows.reserve(arrival_.size());
  for (const SlotId slot : arrival_) rows.push_back(sequence(slot).demand());
  return rows;
}

int Generator::free_slots() const {
  const int free = options_.slots - static_cast<int>(arrival_.size());
  if (pool_pages_ == 0 || free == 0) return free;
  const std::int64_t room = generate_detail::room_for_more(
      demands(), live_, pool_pages_, generate_detail::pages_of(options_.max_length));
  return static_cast<int>(std::min<std::int64_t>(free, room));
}

bool Generator::idle() const { return arrival_.empty(); }

bool Generator::admit(Request request) {
  const auto free = std::find(slots_.begin(), slots_.end(), nullptr);
  if (free == slots_.end()) return false;
  check_request(request, model_.info(), options_.max_length);
  const auto slot = static_cast<std::size_t>(free - slots_.begin());
  if (used_[slot]) ++statistics_.refills;
  used_[slot] = true;
  state_->reset(static_cast<SlotId>(slot));
  slots_[slot] = std::make_unique<Sequence>(std::move(request));
  arrival_.push_back(static_cast<SlotId>(slot));
  return true;
}

void Generator::share_pool() {
  std::size_t live = arrival_.size();
  if (pool_pages_ != 0) live = generate_detail::rows_with_pages(demands(), live_, pool_pages_);
  for (; live_ > live; --live_) {
    const SlotId slot = arrival_[live_ - 1];
    if (sequence(slot).fed > 0) ++statistics_.preempted_rows;
    sequence(slot).put_out();
    state_->reset(slot);
  }
  live_ = live;
}

void Generator::plan_pass() {
  spans_.clear();
  rows_.clear();
  std::vector<std::int64_t> pending;
  for (std::size_t i = 0; i < live_; ++i) pending.push_back(sequence(arrival_[i]).pending_now());
  const std::vector<std::int64_t> shares = generate_detail::share_pass(pending, options_.pass_rows);
  bool prompts = false;
  bool decodes = false;
  for (std::size_t i = 0; i < live_; ++i) {
    if (shares[i] == 0) continue;
    const Sequence& row = sequence(arrival_[i]);
    const Piece piece = row.piece(shares[i]);
    spans_.push_back({.slot = arrival_[i],
                      .position = static_cast<std::int32_t>(row.fed),
                      .tokens = std::span(row.tokens)
                                    .subspan(static_cast<std::size_t>(row.fed),
                                             static_cast<std::size_t>(piece.count)),
                      .origin = piece.origin,
                      .want = piece.want,
                      .allowed_length = row.allowed_length()});
    const std::int64_t end = row.fed + piece.count;
    const std::int64_t wanted = generate_detail::wanted_rows(piece.want, piece.count);
    for (std::int64_t next = end - wanted + 1; next <= end; ++next) select(row, next);

    const bool draws = piece.origin == Origin::generated && end == row.length();
    const bool decode = draws && piece.count == 1;
    prompts = prompts || !decode;
    decodes = decodes || decode;
    const std::int64_t refed = row.refed(piece.count);
    const std::int64_t fresh = piece.count - refed;
    statistics_.refed_tokens += refed;
    if (!draws || fresh != 1) statistics_.prompt_tokens += fresh;
  }
  ++(spans_.empty() ? statistics_.empty_passes : statistics_.passes);
  if (prompts && decodes) ++statistics_.mixed_passes;
}

void Generator::select(const Sequence& row, std::int64_t next) {
  const Request& request = row.request;
  if (request.score && next == row.length()) {
    rows_.push_back({.plan = {.temperature = 0, .key = {}}, .target = -1});  // for its logits alone
    return;
  }
  if (next < row.length()) {
    // Only its log-probability is asked: the cheapest selection will do.
    rows_.push_back({.plan = {.temperature = 0, .key = {}},
                     .target = row.tokens[static_cast<std::size_t>(next)],
                     .top = request.top_logprobs});
    return;
  }
  rows_.push_back({.plan = row.rules.plan(request.prompt_index, request.sample_index,
                                          static_cast<std::uint32_t>(next)),
                   .target = -1,
                   .logprobs = request.logprobs,
                   .top = request.top_logprobs});
}

std::vector<Completion> Generator::step() {
  share_pool();
  share_prefixes();
  plan_pass();
  choices_.clear();
  const bool logits = std::any_of(spans_.begin(), spans_.end(), [this](const RowSpan& span) {
    return sequence(span.slot).request.logits;
  });
  model_.forward(context_, spans_, *state_, parameters_,
                 {.rows = rows_, .choices = &choices_, .logits = logits ? &pass_logits_ : nullptr});
  row_logits_.clear();
  if (logits) share_logits();
  std::vector<Completion> completions;
  take_choices(completions);
  // Those that are done: ended in this pass, or before it and with nothing left to feed.
  for (const SlotId slot : std::vector<SlotId>(arrival_)) {
    const Sequence& row = sequence(slot);
    if (row.ended() != FinishReason::none && row.pending() <= 0) {
      finish(slot, row.ended(), "", completions);
    }
  }
  return completions;
}

void Generator::share_logits() {
  std::int64_t first = 0;
  for (const RowSpan& span : spans_) {
    const auto count = static_cast<std::int64_t>(span.tokens.size());
    const std::int64_t wanted = generate_detail::wanted_rows(span.want, count);
    const Request& request = sequence(span.slot).request;
    if (request.logits && wanted > 0) {
      row_logits_.push_back(
          {.row = request.row,
           .position = span.position + count - wanted,
           .logits = {pass_logits_.view().row(first).data(), {wanted, pass_logits_.extent(1)}}});
    }
    first += wanted;
  }
}

void Generator::take_choices(std::vector<Completion>& completions) {
  std::size_t choice_index = 0;
  for (const RowSpan& span : spans_) {
    Sequence& row = sequence(span.slot);
    const auto count = static_cast<std::int64_t>(span.tokens.size());
    const std::int64_t wanted = generate_detail::wanted_rows(span.want, count);
    row.take(count);
    std::string failure;
    // A drawn token is appended behind the loop: `span` looks into row.tokens.
    TokenId drawn = -1;
    for (std::int64_t i = 0; i < wanted; ++i, ++choice_index) {
      const Choice& choice = choices_[choice_index];
      const std::int64_t next = row.fed - wanted + i + 1;
      if (choice.has_nan) {
        if (failure.empty()) failure = fmt::format("a logit for token {} is not a number", next);
      } else if (next < static_cast<std::int64_t>(row.logprobs.size()) ||
                 (row.request.score && next == row.length())) {
        continue;  // wanted for its logits alone
      } else if (next < row.length()) {
        row.add_logprob(choice.target_logprob, choice.top);
      } else if (choice.id < 0) {
        if (failure.empty()) failure = fmt::format("no token is allowed as token {}", next);
      } else {
        drawn = choice.id;
        if (row.request.logprobs) row.add_logprob(choice.logprob, choice.top);
      }
    }
    if (!failure.empty()) {
      finish(span.slot, FinishReason::error, failure, completions);
    } else if (drawn >= 0) {
      row.append(drawn);
      ++statistics_.new_tokens;
    }
  }
}

void Generator::finish(SlotId slot, FinishReason reason, const std::string& failure,
                       std::vector<Completion>& completions) {
  const std::unique_ptr<Sequence> row = std::move(slots_[static_cast<std::size_t>(slot)]);
  const auto place = std::find(arrival_.begin(), arrival_.end(), slot);
  if (static_cast<std::size_t>(place - arrival_.begin()) < live_) --live_;
  arrival_.erase(place);
  // Its pages go back at once, others may need them.
  if (!model_.info().recurrent) state_->reset(slot);
  ++(reason == FinishReason::error ? statistics_.failed_rows : statistics_.completed_rows);
  Completion completion;
  completion.row = row->request.row;
  completion.prefix_length = row->prefix_length();
  if (options_.sharing.enabled && options_.sharing.kept > 0) {
    constexpr std::size_t kRecent = 4;
    if (recent_prompts_.size() == kRecent) recent_prompts_.pop_front();
    recent_prompts_.push_back(row->request.prompt);
  }
  completion.tokens = std::move(row->tokens);
  if (row->request.logprobs) completion.logprobs = std::move(row->logprobs);
  if (row->request.top_logprobs > 0) completion.top = std::move(row->top);
  completion.reason = reason;
  completion.flags = row->request.flags;
  if (reason == FinishReason::stop) completion.stop_index = row->stop_index;
  completion.failure = failure;
  completion.counts = std::move(row->request.counts);
  completions.push_back(std::move(completion));
}

std::vector<InFlightRow> Generator::in_flight() const {
  std::vector<InFlightRow> rows;
  for (const SlotId slot : arrival_) {
    const Sequence& row = sequence(slot);
    rows.push_back({.row = row.request.row,
                    .prefix_length = row.prefix_length(),
                    .tokens = row.tokens,
                    .logprobs = row.request.logprobs ? std::span<const float>(row.logprobs)
                                                     : std::span<const float>(),
                    .top = row.request.top_logprobs > 0 ? std::span<const TokenLogprob>(row.top)
                                                        : std::span<const TokenLogprob>(),
                    .flags = row.request.flags});
  }
  return rows;
}

}  // namespace gridmill
