#include <gtest/gtest.h>

#include "generate_tokens_fixture.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/sampling/greedy.hpp"
#include "gridmill/sampling/sampling_plan.hpp"
#include "gridmill/sampling/temperature.hpp"

namespace gridmill {
namespace {

using test::greedy;
using test::Ids;
using test::rows_of;
using test::SeedRun;
using test::walk;

class GenerateTokens : public ::testing::TestWithParam<test::TinyModel> {
 protected:
  GenerateTokens() : seed_(GetParam().config) {}
  SeedRun seed_;
};

TEST_P(GenerateTokens, GreedyTakesTheLargestLogitOfEveryStep) {
  const GeneratedBatch batch = seed_.generate({walk(4, 300, 1)}, greedy(20));
  const std::vector<TokenId> row = rows_of(batch.tokens)[0];
  const Tensor<float, 2> logits = seed_.run.feed(0, row);
  for (std::size_t t = 4; t < row.size(); ++t) {
    EXPECT_EQ(row[t], greedy_sampling(logits.view().row(static_cast<std::int64_t>(t) - 1))) << t;
  }
  EXPECT_EQ(rows_of(batch.valid), (test::Flags{std::vector<std::uint8_t>(20, 1)}));
  EXPECT_EQ(batch.steps, 19);
}

TEST_P(GenerateTokens, SampledTokensFollowTheKeyScheduleOfJax) {
  for (const ThreefryLayout layout : {ThreefryLayout::classic, ThreefryLayout::partitionable}) {
    GenerateTokensOptions options;
    options.max_length = 12;
    const JaxRandom rng{.key = jax_key(42), .layout = layout};
    const Ids prefix = {walk(3, 300, 1), walk(3, 300, 2)};
    const Ids rows = rows_of(seed_.generate(prefix, std::move(options), rng).tokens);

    JaxKey key = fold_in(jax_key(42), 0);
    test::ModelRun oracle(GetParam().config, *seed_.backend, 2, 64);
    for (std::size_t t = 0; t + 1 < 12; ++t) {
      const auto [step_key, next_key] = split(key, layout);
      key = next_key;
      std::vector<RowSpan> spans;
      spans.reserve(2);
      for (SlotId slot = 0; slot < 2; ++slot) {
        spans.push_back({.slot = slot,
                         .position = static_cast<std::int32_t>(t),
                         .tokens = std::span(rows[static_cast<std::size_t>(slot)]).subspan(t, 1)});
      }
      const Tensor<float, 2> logits = oracle.feed(spans);
      const std::vector<TokenId> next = temperature_sampling(logits.view(), step_key, 1.0F, layout);
      if (t + 1 < 3) continue;
      EXPECT_EQ(rows[0][t + 1], next[0]) << t;
      EXPECT_EQ(rows[1][t + 1], next[1]) << t;
    }
  }
}

TEST_P(GenerateTokens, PhiloxDrawsByPromptAndPositionAlone) {
  GenerateTokensOptions options;
  options.max_length = 12;
  const Ids prefix = {walk(3, 300, 1), walk(3, 300, 2), walk(3, 300, 3)};
  const Ids together =
      rows_of(seed_.generate(prefix, std::move(options), PhiloxRandom{.seed = 9, .first_prompt = 4})
                  .tokens);
  for (std::size_t row = 0; row < 3; ++row) {
    GenerateTokensOptions alone;
    alone.max_length = 12;
    const PhiloxRandom rng{.seed = 9, .first_prompt = 4 + static_cast<PromptId>(row)};
    EXPECT_EQ(rows_of(seed_.generate({prefix[row]}, std::move(alone), rng).tokens)[0],
              together[row]);
  }
}

TEST_P(GenerateTokens, TheStateHasConsumedEveryColumnButTheLast) {
  const GeneratedBatch batch = seed_.generate({walk(4, 300, 1)}, greedy(10));
  EXPECT_EQ(batch.cache->position(0), 9);
  const std::vector<TokenId> row = rows_of(batch.tokens)[0];
  seed_.run.feed(0, std::span(row).first(9));
  EXPECT_EQ(batch.cache->save(0), seed_.run.state->save(0));
}

INSTANTIATE_TEST_SUITE_P(Models, GenerateTokens,
                         ::testing::Values(test::TinyModel{"llama", test::llama_config()},
                                           test::TinyModel{"xlstm", test::xlstm_config()},
                                           test::TinyModel{"older", test::xlstm_older_config()}),
                         [](const ::testing::TestParamInfo<test::TinyModel>& each) {
                           return each.param.name;
                         });

TEST(GenerateTokensArguments, DefaultsAreThoseOfTheSeed) {
  const GenerateTokensOptions options;
  EXPECT_FALSE(options.prefix_mask.has_value());
  EXPECT_EQ(options.cache, nullptr);
  EXPECT_EQ(options.max_length, 2048);
  EXPECT_EQ(options.eod_token_id, -1);
  EXPECT_FALSE(options.gather_params_once);
  EXPECT_FALSE(options.param_dtype.has_value());
}

TEST(GenerateTokensArguments, TheDefaultSamplerIsTemperatureOne) {
  SeedRun seed;
  GenerateTokensOptions by_default;
  by_default.max_length = 12;
  GenerateTokensOptions named;
  named.max_length = 12;
  named.token_sample_fn = temperature_sampler(1.0F);
  GenerateTokensOptions empty;
  empty.max_length = 12;
  empty.token_sample_fn = nullptr;
  const Ids expected = rows_of(seed.generate({{5}}, std::move(named)).tokens);
  EXPECT_EQ(rows_of(seed.generate({{5}}, std::move(by_default)).tokens), expected);
  EXPECT_EQ(rows_of(seed.generate({{5}}, std::move(empty)).tokens), expected);
  EXPECT_NE(rows_of(seed.generate({{5}}, greedy(12)).tokens), expected);
}

TEST(GenerateTokensArguments, AnyCallableSamples) {
  SeedRun seed;
  GenerateTokensOptions options = greedy(6);
  options.token_sample_fn = [](TensorView<const float, 2> logits, const StepRandom& random) {
    EXPECT_EQ(logits.extent(0), 1);
    EXPECT_EQ(logits.extent(1), 300);
    return std::vector<TokenId>{static_cast<TokenId>(100 + random.positions[0])};
  };
  EXPECT_EQ(rows_of(seed.generate({{5, 6}}, std::move(options)).tokens),
            (Ids{{5, 6, 102, 103, 104, 105}}));
}

TEST(GenerateTokensArguments, ASamplerThatReturnsNonsenseIsAUsageError) {
  SeedRun seed;
  for (const std::vector<TokenId>& nonsense :
       {std::vector<TokenId>{300}, std::vector<TokenId>{-1}, std::vector<TokenId>{1, 2}}) {
    GenerateTokensOptions options = greedy(6);
    options.token_sample_fn = [nonsense](TensorView<const float, 2>, const StepRandom&) {
      return nonsense;
    };
    EXPECT_THROW(seed.generate({{5}}, std::move(options)), UsageError);
  }
}

TEST(GenerateTokensArguments, GatheringAndParameterTypeReachTheProvider) {
  SeedRun seed;
  GenerateTokensOptions options = greedy(3);
  options.gather_params_once = true;
  options.param_dtype = DType::bf16;
  seed.generate({{5}}, std::move(options));
  EXPECT_TRUE(seed.asked_once);
  EXPECT_EQ(seed.asked_dtype, DType::bf16);
}

TEST(GenerateTokensArguments, TheKeyIsFoldedWithTheLinearShardIndex) {
  SeedRun seed;
  GenerateTokensOptions shard;
  shard.max_length = 12;
  shard.grid = {.dp = 2, .fsdp = 3};
  shard.coord = {.dp = 1, .fsdp = 2};
  const Ids found = rows_of(seed.generate({{5}}, std::move(shard), JaxRandom{jax_key(1)}).tokens);
  GenerateTokensOptions folded;
  folded.max_length = 12;
  const JaxRandom rng{.key = fold_in(jax_key(1), 5), .folded = true};
  EXPECT_EQ(rows_of(seed.generate({{5}}, std::move(folded), rng).tokens), found);
}

TEST(GenerateTokensArguments, ACacheWithTooFewSlotsIsAUsageError) {
  SeedRun seed;
  GenerateTokensOptions options = greedy(6);
  options.cache = seed.run.model->make_state(seed.run.context, 1, 6);
  EXPECT_THROW(seed.generate({{5}, {6}}, std::move(options)), UsageError);
}

TEST(GenerateTokensArguments, GivenColumnsAreFedTogetherWithTheBitsOfSingleSteps) {
  SeedRun seed;
  seed.run.parameters.forget();
  const std::vector<TokenId> prompt = walk(20, 300, 1);
  const GeneratedBatch batch = seed.generate({prompt}, greedy(25));
  EXPECT_EQ(seed.run.parameters.embeds(), 5);  // the prompt in one pass, then four single steps
  const std::vector<TokenId> row = rows_of(batch.tokens)[0];
  const Tensor<float, 2> logits = seed.run.feed_in_pieces(0, row, 1);
  for (std::size_t t = 20; t < 25; ++t) {
    EXPECT_EQ(row[t], greedy_sampling(logits.view().row(static_cast<std::int64_t>(t) - 1)));
  }
}

}  // namespace
}  // namespace gridmill
