#include "gridmill/generate/generate_tokens.hpp"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

void check_arguments(const GenerationState& state, TensorView<const TokenId, 2> prefix,
                     const GenerateTokensOptions& options) {
  const std::int64_t B = prefix.extent(0);
  const std::int64_t P = prefix.extent(1);
  if (options.max_length < 1 || P < 1 || P > options.max_length) {
    throw UsageError(
        fmt::format("a prefix of {} tokens and max_length = {}: expected 1 <= prefix "
                    "<= max_length",
                    P, options.max_length));
  }
  if (options.prefix_mask) {
    const TensorView<const std::uint8_t, 2>& mask = options.prefix_mask->flags;
    if (mask.extent(0) != B || mask.extent(1) != P) {
      throw UsageError(fmt::format("prefix_mask is [{}, {}], expected [{}, {}] as the prefix",
                                   mask.extent(0), mask.extent(1), B, P));
    }
    for (const std::uint8_t flag : mask.flat()) {
      if (flag > 1) throw UsageError(fmt::format("prefix_mask holds {}, expected 0 or 1", flag));
    }
  }
  if (options.cache != nullptr && options.cache->slots() < B) {
    throw UsageError(fmt::format("the cache has {} slots for {} rows", options.cache->slots(), B));
  }
  const std::int64_t vocab_size = state.model.info().vocab_size;
  for (std::int64_t i = 0; i < prefix.size(); ++i) {
    const TokenId id = prefix.flat()[static_cast<std::size_t>(i)];
    const bool given =
        !options.prefix_mask || options.prefix_mask->flags.flat()[static_cast<std::size_t>(i)] != 0;
    if (given && (id < 0 || id >= vocab_size)) {
      throw UsageError(fmt::format("prefix of row {} holds id {}, outside the vocabulary [0, {})",
                                   i / P, id, vocab_size));
    }
  }
}

/// The seed's loop over one batch.
class FixedBatch {
 public:
  FixedBatch(const GenerationState& state, const RandomSource& rng,
             TensorView<const TokenId, 2> prefix, GenerateTokensOptions options)
      : state_(state),
        options_(std::move(options)),
        B_(prefix.extent(0)),
        L_(options_.max_length),
        vocab_size_(state.model.info().vocab_size),
        parameters_(state.parameters(options_.gather_params_once, options_.param_dtype)),
        rng_(rng),
        tokens_({B_, L_}),
        valid_({B_, L_}),
        alive_(static_cast<std::size_t>(B_)) {
    if (auto* jax = std::get_if<JaxRandom>(&rng_); jax != nullptr && !jax->folded) {
      // Rows on different data shards draw different noise.
      jax->key = fold_in(
          jax->key,
          static_cast<std::uint32_t>(options_.coord.dp * options_.grid.fsdp + options_.coord.fsdp));
      jax->folded = true;
    }
    cache_ = options_.cache != nullptr
                 ? std::move(options_.cache)
                 : state.model.make_state(state.context, static_cast<int>(B_), L_);
    for (std::int64_t row = 0; row < B_; ++row) {
      for (std::int64_t t = 0; t < prefix.extent(1); ++t) {
        const bool given = !options_.prefix_mask || options_.prefix_mask->flags(row, t) != 0;
        tokens_(row, t) = given ? prefix(row, t) : 0;
        valid_(row, t) = given ? 1 : 0;
      }
      alive_[static_cast<std::size_t>(row)] = valid_(row, 0) != 0;
    }
  }

  GeneratedBatch run() {
    for (std::int64_t steps = agree_on_steps(); steps > 0; steps = agree_on_steps()) advance(steps);
    for (std::int64_t row = 0; row < B_; ++row) {
      for (std::int64_t t = 0; t < L_; ++t) tokens_(row, t) *= valid_(row, t);
    }
    return {.tokens = std::move(tokens_),
            .valid = std::move(valid_),
            .cache = std::move(cache_),
            .rng = rng_,
            .steps = index_};
  }

 private:
  [[nodiscard]] bool given(std::int64_t row, std::int64_t t) const { return valid_(row, t) != 0; }
  [[nodiscard]] bool all_given(std::int64_t t) const {
    for (std::int64_t row = 0; row < B_; ++row) {
      if (!given(row, t)) return false;
    }
    return true;
  }

  /// Steps that can go in one pass: those that only read given tokens, and the one behind them.
  /// Their logits would be thrown away, and prefill has the bits of single steps.
  [[nodiscard]] std::int64_t mergeable_steps() const {
    constexpr std::int64_t kPassRows = 512;
    const std::int64_t most = std::min(
        L_ - 1 - index_, std::max<std::int64_t>(1, kPassRows / std::max<std::int64_t>(B_, 1)));
    std::int64_t steps = 1;
    while (steps < most && all_given(index_ + steps)) ++steps;
    return std::min(steps, most);
  }

  /// Steps of the next pass, 0 = the loop is over; equal on all ranks of the exit group, which also
  /// meet in every pass.
  [[nodiscard]] std::int64_t agree_on_steps() const {
    if (index_ >= L_ - 1) return 0;
    struct Vote {
      std::int64_t alive = 0;
      std::int64_t steps = 0;
    };
    const bool any_alive = std::find(alive_.begin(), alive_.end(), true) != alive_.end();
    std::vector<Vote> votes = {{any_alive ? 1 : 0, mergeable_steps()}};
    if (options_.exit_group != nullptr && options_.exit_group->size() > 1) {
      const Vote mine = votes[0];
      votes.resize(static_cast<std::size_t>(options_.exit_group->size()));
      options_.exit_group->all_gather_host(&mine, sizeof(Vote), votes.data());
    }
    std::int64_t alive = 0;
    std::int64_t steps = L_;
    for (const Vote& vote : votes) {
      alive |= vote.alive;
      steps = std::min(steps, vote.steps);
    }
    return options_.eod_token_id < 0 || alive != 0 ? steps : 0;
  }

  /// Feeds columns [index_, index_ + steps) and writes those behind them.
  void advance(std::int64_t steps) {
    const std::int64_t last = index_ + steps;
    const bool draw = !all_given(last);
    std::vector<RowSpan> spans;
    for (std::int64_t row = 0; row < B_; ++row) {
      const auto slot = static_cast<SlotId>(row);
      // Seen as one sequence, the first column is always given; later ones as the mask said.
      spans.push_back({.slot = slot,
                       .position = cache_->position(slot),
                       .tokens = std::span<const TokenId>(&tokens_(row, index_),
                                                          static_cast<std::size_t>(steps)),
                       .origin = Origin::given,
                       .want = draw ? LogitsWanted::last : LogitsWanted::none,
                       .allowed_length = L_});
    }
    Tensor<float, 2> logits;
    state_.model.forward(state_.context, spans, *cache_, *parameters_, {.logits = &logits});
    JaxKey step_key;
    if (auto* jax = std::get_if<JaxRandom>(&rng_)) {
      // One split a step: the first half is used now, the second carried on.
      for (std::int64_t step = 0; step < steps; ++step) {
        const auto [now, later] = split(jax->key, jax->layout);
        step_key = now;
        jax->key = later;
      }
    }
    for (std::int64_t t = index_ + 1; t < last; ++t) mark_valid(t);
    std::vector<TokenId> next(static_cast<std::size_t>(B_));
    if (draw) next = sample(logits.view(), step_key);
    write_column(last, next);
    index_ = last;
  }

  [[nodiscard]] std::vector<TokenId> sample(TensorView<const float, 2> logits, JaxKey step_key) {
    std::vector<std::uint32_t> positions;
    for (std::int64_t row = 0; row < B_; ++row) {
      positions.push_back(static_cast<std::uint32_t>(cache_->position(static_cast<SlotId>(row))));
    }
    StepRandom random{.source = rng_, .positions = positions};
    if (auto* jax = std::get_if<JaxRandom>(&random.source)) jax->key = step_key;
    std::vector<TokenId> next = options_.token_sample_fn(logits, random);
    if (next.size() != static_cast<std::size_t>(B_)) {
      throw UsageError(
          fmt::format("token_sample_fn returned {} tokens for {} rows", next.size(), B_));
    }
    for (const TokenId id : next) {
      if (id < 0 || id >= vocab_size_) {
        throw UsageError(fmt::format(
            "token_sample_fn returned id {}, outside the vocabulary [0, {})", id, vocab_size_));
      }
    }
    return next;
  }

  void mark_valid(std::int64_t t) {
    for (std::int64_t row = 0; row < B_; ++row) {
      valid_(row, t) = alive_[static_cast<std::size_t>(row)] ? 1 : 0;
    }
  }

  /// Given tokens stay; a drawn stop token ends its row, and is itself still valid.
  void write_column(std::int64_t t, const std::vector<TokenId>& next) {
    for (std::int64_t row = 0; row < B_; ++row) {
      const auto index = static_cast<std::size_t>(row);
      const bool was_alive = alive_[index];
      if (!given(row, t)) {
        tokens_(row, t) = next[index];
        if (next[index] == options_.eod_token_id) alive_[index] = false;
      }
      valid_(row, t) = was_alive ? 1 : 0;
    }
  }

  const GenerationState& state_;
  GenerateTokensOptions options_;
  std::int64_t B_;
  std::int64_t L_;
  std::int64_t vocab_size_;
  std::shared_ptr<ParameterSource> parameters_;
  RandomSource rng_;
  std::unique_ptr<BatchState> cache_;
  Tensor<TokenId, 2> tokens_;
  Tensor<std::uint8_t, 2> valid_;
  std::vector<bool> alive_;
  std::int64_t index_ = 0;  ///< columns fed so far
};

}  // namespace

GeneratedBatch generate_tokens(const GenerationState& state, const RandomSource& rng,
                               TensorView<const TokenId, 2> prefix_tokens,
                               GenerateTokensOptions options) {
  check_arguments(state, prefix_tokens, options);
  if (!options.token_sample_fn) options.token_sample_fn = temperature_sampler(1.0F);
  return FixedBatch(state, rng, prefix_tokens, std::move(options)).run();
}

GeneratedBatch generate_tokens(const GenerationState& state, const RandomSource& rng,
                               std::span<const TokenId> prefix_tokens,
                               GenerateTokensOptions options) {
  const TensorView<const TokenId, 2> matrix(prefix_tokens.data(),
                                            {static_cast<std::int64_t>(prefix_tokens.size()), 1});
  return generate_tokens(state, rng, matrix, std::move(options));
}

}  // namespace gridmill
