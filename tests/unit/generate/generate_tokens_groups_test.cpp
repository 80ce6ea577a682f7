#include <gtest/gtest.h>

#include <array>

#include "generate_tokens_fixture.hpp"
#include "support/thread_exchange.hpp"

namespace gridmill {
namespace {

using test::Flags;
using test::greedy;
using test::Ids;
using test::rows_of;
using test::SeedRun;
using test::walk;

/// What one rank of an exit group saw.
struct Outcome {
  Ids tokens;
  Flags valid;
  std::int64_t steps = 0;
  int passes = 0;
};

/// Runs one batch a rank in one exit group; rank r ends its rows at column ends[r] (0 = never).
std::array<Outcome, 2> run_group(const std::array<Ids, 2>& prefixes,
                                 const std::array<std::int64_t, 2>& ends, std::int64_t length) {
  constexpr TokenId kEod = 299;
  std::array<Outcome, 2> outcomes;
  test::ThreadGroup(2).run([&](Exchange& group) {
    const auto rank = static_cast<std::size_t>(group.rank());
    SeedRun seed;
    seed.run.parameters.forget();
    GenerateTokensOptions options = greedy(length, kEod);
    options.exit_group = &group;
    options.grid = {.dp = 1, .fsdp = 2};
    options.coord = {.dp = 0, .fsdp = group.rank()};
    options.token_sample_fn = [&](TensorView<const float, 2> logits, const StepRandom& random) {
      std::vector<TokenId> next = greedy_sampler()(logits, random);
      for (TokenId& id : next) {
        id = static_cast<std::int64_t>(random.positions[0]) == ends[rank] ? kEod : id % 299;
      }
      return next;
    };
    GeneratedBatch batch = seed.generate(prefixes[rank], std::move(options));
    outcomes[rank] = {rows_of(batch.tokens), rows_of(batch.valid), batch.steps,
                      seed.run.parameters.embeds()};
  });
  return outcomes;
}

TEST(GenerateTokensGroup, RanksLeaveTogetherWhenTheLastRowHasEnded) {
  const auto outcomes = run_group({Ids{{1, 2}}, Ids{{3, 4}}}, {5, 11}, 20);
  EXPECT_EQ(outcomes[0].steps, 11);
  EXPECT_EQ(outcomes[1].steps, 11);
  EXPECT_EQ(outcomes[0].passes, outcomes[1].passes);
  for (std::size_t t = 0; t < 20; ++t) {
    EXPECT_EQ(outcomes[0].valid[0][t], t <= 5 ? 1 : 0) << t;
    EXPECT_EQ(outcomes[1].valid[0][t], t <= 11 ? 1 : 0) << t;
  }
}

TEST(GenerateTokensGroup, ARankThatNeverStopsDoesNotWaitForever) {
  const auto outcomes = run_group({Ids{{1, 2}}, Ids{{3, 4}}}, {4, 0}, 16);
  EXPECT_EQ(outcomes[0].steps, 15);
  EXPECT_EQ(outcomes[1].steps, 15);
}

TEST(GenerateTokensGroup, PrefixesOfDifferentLengthKeepRanksInStep) {
  const auto outcomes = run_group({Ids{walk(12, 299, 1)}, Ids{{3}}}, {0, 0}, 16);
  EXPECT_EQ(outcomes[0].passes, outcomes[1].passes);
  EXPECT_EQ(outcomes[0].steps, 15);
  SeedRun alone;
  GenerateTokensOptions options = greedy(16, 299);
  options.token_sample_fn = [](TensorView<const float, 2> logits, const StepRandom& random) {
    std::vector<TokenId> next = greedy_sampler()(logits, random);
    for (TokenId& id : next) id %= 299;
    return next;
  };
  EXPECT_EQ(rows_of(alone.generate({walk(12, 299, 1)}, std::move(options)).tokens),
            outcomes[0].tokens);
}

TEST(GenerateTokensGroup, ATpGroupReturnsTheSameBatchOnEveryRank) {
  const Json config = test::llama_config();
  const test::Tensors tensors = test::random_tensors(*make_model(config), 1);
  const Tensor<TokenId, 2> prefix = test::matrix_of(Ids{walk(5, 300, 1), walk(5, 300, 2)});
  const auto generate_on = [&](Exchange& tp) {
    const auto backend = make_backend("reference", {});
    const auto model = make_model(config);
    const auto stream = backend->make_stream();
    ExecutionContext context{*backend, *stream, tp};
    auto parameters =
        std::make_shared<test::MemoryParameters>(*backend, *model, tensors, tp.size(), tp.rank());
    GenerateTokensOptions options;
    options.max_length = 14;
    return rows_of(
        generate_tokens({*model, context, [&](bool, std::optional<DType>) { return parameters; }},
                        JaxRandom{jax_key(8)}, prefix.view(), std::move(options))
            .tokens);
  };
  NoExchange alone;
  const Ids expected = generate_on(alone);
  std::array<Ids, 4> found;
  test::ThreadGroup(4).run(
      [&](Exchange& tp) { found[static_cast<std::size_t>(tp.rank())] = generate_on(tp); });
  for (const Ids& rows : found) EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace gridmill
