#include "gridmill/generate/generator.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "generate/pass_plan_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

/// A row in a slot.
struct Generator::Sequence {
  Request request;
  std::vector<TokenId> tokens;  ///< prompt, replayed, generated
  std::vector<float> logprobs;  ///< one a token whose log-probability is known
  std::int64_t fed = 0;         ///< tokens the model has consumed
  std::int64_t pool_share = 0;  ///< positions set aside for it

  [[nodiscard]] std::int64_t length() const { return static_cast<std::int64_t>(tokens.size()); }
  [[nodiscard]] std::int64_t prefix_length() const {
    return static_cast<std::int64_t>(request.prompt.size());
  }
  /// Why no further token will be generated; none = one will.
  [[nodiscard]] FinishReason ended() const {
    const std::int64_t generated = length() - prefix_length();
    if (generated > 0 && std::find(request.eod_ids.begin(), request.eod_ids.end(), tokens.back()) !=
                             request.eod_ids.end()) {
      return FinishReason::eod;
    }
    const bool full = length() >= request.max_length;
    const bool enough = request.max_new_tokens && generated >= *request.max_new_tokens;
    return full || enough ? FinishReason::length : FinishReason::none;
  }
  /// Tokens still to feed. The last token of an ended row has nothing to predict; without
  /// logprobs, neither have those before it.
  [[nodiscard]] std::int64_t pending() const {
    if (ended() == FinishReason::none) return length() - fed;
    return request.logprobs ? length() - 1 - fed : 0;
  }
};

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
  if (options.pool_positions != 0 && options.pool_positions < pool_share(options.max_length)) {
    throw UsageError(
        fmt::format("a pool of {} positions has no room for one row of {}: at least {} are needed",
                    options.pool_positions, options.max_length, pool_share(options.max_length)));
  }
  pool_free_ = options.pool_positions;
  state_ =
      model.make_pooled_state(context, options.slots, options.max_length, options.pool_positions);
  slots_.resize(static_cast<std::size_t>(options.slots));
  used_.resize(slots_.size(), false);
}

Generator::~Generator() = default;

std::int64_t Generator::pool_share(std::int64_t length) const {
  return (length + kKvPagePositions - 1) / kKvPagePositions * kKvPagePositions;
}

int Generator::free_slots() const {
  const int free = options_.slots - static_cast<int>(arrival_.size());
  if (options_.pool_positions == 0) return free;
  const std::int64_t longest = pool_free_ / pool_share(options_.max_length);
  return static_cast<int>(std::min<std::int64_t>(free, longest));
}

bool Generator::idle() const { return arrival_.empty(); }

bool Generator::admit(Request request) {
  const auto free = std::find(slots_.begin(), slots_.end(), nullptr);
  if (free == slots_.end()) return false;
  check_request(request, model_.info(), options_.max_length);
  std::int64_t longest = request.max_length;
  if (request.max_new_tokens) {
    longest = std::min(longest,
                       static_cast<std::int64_t>(request.prompt.size()) + *request.max_new_tokens);
  }
  // A replay that is longer than the new limit is still fed.
  longest =
      std::max(longest, static_cast<std::int64_t>(request.prompt.size() + request.replay.size()));
  const std::int64_t pool_share_taken = options_.pool_positions == 0 ? 0 : pool_share(longest);
  if (pool_share_taken > pool_free_) return false;
  pool_free_ -= pool_share_taken;
  const auto slot = static_cast<std::size_t>(free - slots_.begin());
  if (used_[slot]) ++statistics_.refills;
  used_[slot] = true;
  state_->reset(static_cast<SlotId>(slot));

  auto sequence = std::make_unique<Sequence>();
  sequence->tokens = request.prompt;
  sequence->tokens.insert(sequence->tokens.end(), request.replay.begin(), request.replay.end());
  sequence->logprobs.push_back(0);  // nothing predicts the first token
  sequence->request = std::move(request);
  sequence->pool_share = pool_share_taken;
  slots_[slot] = std::move(sequence);
  arrival_.push_back(static_cast<SlotId>(slot));
  return true;
}

void Generator::plan_pass() {
  spans_.clear();
  rows_.clear();
  std::vector<std::int64_t> pending;
  for (const SlotId slot : arrival_) {
    pending.push_back(slots_[static_cast<std::size_t>(slot)]->pending());
  }
  const std::vector<std::int64_t> shares = generate_detail::share_pass(pending, options_.pass_rows);
  bool prompts = false;
  bool decodes = false;
  for (std::size_t i = 0; i < arrival_.size(); ++i) {
    const Sequence& sequence = *slots_[static_cast<std::size_t>(arrival_[i])];
    std::int64_t count = shares[i];
    if (count == 0) continue;
    const Request& request = sequence.request;
    const bool given = sequence.fed < sequence.prefix_length();
    // A span has one origin: prompt and replayed tokens go in separate passes.
    if (given) count = std::min(count, sequence.prefix_length() - sequence.fed);
    const std::int64_t end = sequence.fed + count;
    const bool draws = end == sequence.length();
    spans_.push_back({.slot = arrival_[i],
                      .position = static_cast<std::int32_t>(sequence.fed),
                      .tokens = std::span(sequence.tokens)
                                    .subspan(static_cast<std::size_t>(sequence.fed),
                                             static_cast<std::size_t>(count)),
                      .origin = given ? Origin::given : Origin::generated,
                      .want = request.logprobs ? LogitsWanted::all
                              : draws          ? LogitsWanted::last
                                               : LogitsWanted::none});
    for (std::int64_t next = request.logprobs ? sequence.fed + 1 : end; next <= end; ++next) {
      if (next == sequence.length()) {
        rows_.push_back({.plan = {.temperature = request.temperature,
                                  .key = {.seed = request.seed,
                                          .prompt = request.prompt_index,
                                          .sample = request.sample_index,
                                          .position = static_cast<std::uint32_t>(next)}},
                         .target = -1,
                         .logprobs = request.logprobs});
      } else if (request.logprobs) {
        // Only its log-probability is asked: the cheapest selection will do.
        rows_.push_back({.plan = {.temperature = 0, .key = {}},
                         .target = sequence.tokens[static_cast<std::size_t>(next)]});
      }
    }
    const bool fresh = !given && draws && count == 1;
    prompts = prompts || !fresh;
    decodes = decodes || fresh;
    if (!fresh) statistics_.prompt_tokens += count;
  }
  ++(spans_.empty() ? statistics_.empty_passes : statistics_.passes);
  if (prompts && decodes) ++statistics_.mixed_passes;
}

std::vector<Completion> Generator::step() {
  plan_pass();
  choices_.clear();
  model_.forward(context_, spans_, *state_, parameters_, {.rows = rows_, .choices = &choices_});
  std::vector<Completion> completions;
  take_choices(completions);
  // Those that are done: ended in this pass, or before it and with nothing left to feed.
  for (const SlotId slot : std::vector<SlotId>(arrival_)) {
    const Sequence& sequence = *slots_[static_cast<std::size_t>(slot)];
    if (sequence.ended() != FinishReason::none && sequence.pending() <= 0) {
      finish(slot, sequence.ended(), "", completions);
    }
  }
  return completions;
}

void Generator::take_choices(std::vector<Completion>& completions) {
  std::size_t row = 0;
  for (const RowSpan& span : spans_) {
    Sequence& sequence = *slots_[static_cast<std::size_t>(span.slot)];
    const auto count = static_cast<std::int64_t>(span.tokens.size());
    const std::int64_t wanted = span.want == LogitsWanted::all    ? count
                                : span.want == LogitsWanted::last ? 1
                                                                  : 0;
    sequence.fed += count;
    std::string failure;
    // A drawn token is appended behind the loop: `span` looks into sequence.tokens.
    TokenId drawn = -1;
    for (std::int64_t i = 0; i < wanted; ++i, ++row) {
      const Choice& choice = choices_[row];
      const std::int64_t next = sequence.fed - wanted + i + 1;
      if (choice.has_nan) {
        if (failure.empty()) failure = fmt::format("a logit for token {} is not a number", next);
      } else if (next < sequence.length()) {
        sequence.logprobs.push_back(choice.target_logprob);
      } else {
        drawn = choice.id;
        if (sequence.request.logprobs) sequence.logprobs.push_back(choice.logprob);
      }
    }
    if (!failure.empty()) {
      finish(span.slot, FinishReason::error, failure, completions);
    } else if (drawn >= 0) {
      sequence.tokens.push_back(drawn);
      ++statistics_.new_tokens;
    }
  }
}

void Generator::finish(SlotId slot, FinishReason reason, const std::string& failure,
                       std::vector<Completion>& completions) {
  std::unique_ptr<Sequence> sequence = std::move(slots_[static_cast<std::size_t>(slot)]);
  std::erase(arrival_, slot);
  if (options_.pool_positions != 0) {
    state_->reset(slot);  // its pages go back at once, others may want them
    pool_free_ += sequence->pool_share;
  }
  ++(reason == FinishReason::error ? statistics_.failed_rows : statistics_.completed_rows);
  Completion completion;
  completion.row = sequence->request.row;
  completion.prefix_length = sequence->prefix_length();
  completion.tokens = std::move(sequence->tokens);
  if (sequence->request.logprobs) completion.logprobs = std::move(sequence->logprobs);
  completion.reason = reason;
  completion.failure = failure;
  completions.push_back(std::move(completion));
}

std::vector<InFlightRow> Generator::in_flight() const {
  std::vector<InFlightRow> rows;
  for (const SlotId slot : arrival_) {
    const Sequence& sequence = *slots_[static_cast<std::size_t>(slot)];
    rows.push_back({.row = sequence.request.row,
                    .prefix_length = sequence.prefix_length(),
                    .tokens = sequence.tokens,
                    .logprobs = sequence.request.logprobs
                                    ? std::span<const float>(sequence.logprobs)
                                    : std::span<const float>()});
  }
  return rows;
}

}  // namespace gridmill
