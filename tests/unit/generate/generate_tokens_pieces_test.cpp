#include <gtest/gtest.h>

#include <bit>
#include <tuple>

#include "generate_tokens_fixture.hpp"
#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

using test::Ids;
using test::rows_of;
using test::SeedRun;
using test::walk;

struct NamedRandom {
  std::string name;
  RandomSource source;
};
void PrintTo(const NamedRandom& random, std::ostream* out) { *out << random.name; }

Json xlstm_jax_llama_config() {
  Json config = test::llama_config();
  config["generation_attention"] = "self_only";
  return config;
}

/// What a generation leaves, to the last bit.
struct Trace {
  Ids tokens;
  std::vector<std::vector<std::uint32_t>> logits;  ///< [B, V] of every step whose result is read
  std::vector<std::vector<std::uint32_t>> states;  ///< one a row, at the end
};

constexpr int kRows = 2;
constexpr std::int64_t kLength = 24;

std::vector<std::uint32_t> bits_of(std::span<const float> values) {
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

class GenerationCut
    : public ::testing::TestWithParam<std::tuple<test::TinyModel, NamedRandom, const char*>> {
 protected:
  GenerationCut()
      : run_(std::get<0>(GetParam()).config, std::get<2>(GetParam())),
        random_(std::get<1>(GetParam()).source) {}

  /// Goes on from `cache` with the sampler of the defaults, and notes the logits.
  GeneratedBatch generate(const Ids& prefix, std::int64_t length, const RandomSource& rng,
                          std::unique_ptr<BatchState> cache, Trace& trace) {
    GenerateTokensOptions options;
    options.max_length = length;
    options.cache = std::move(cache);
    options.token_sample_fn = [&trace](TensorView<const float, 2> logits,
                                       const StepRandom& random) {
      trace.logits.push_back(bits_of(logits.flat()));
      return temperature_sampler()(logits, random);
    };
    return run_.generate(prefix, std::move(options), rng);
  }

  /// @param columns  where calls end: each takes up the last column of the one before.
  Trace generate_in_pieces(const std::vector<std::int64_t>& columns) {
    Trace trace;
    std::unique_ptr<BatchState> cache =
        run_.run.model->make_state(run_.run.context, kRows, kLength);
    RandomSource rng = random_;
    Ids prefix = {walk(5, 300, 1), walk(5, 300, 2)};
    std::int64_t begin = 0;
    for (const std::int64_t end : columns) {
      GeneratedBatch piece = generate(prefix, end - begin, rng, std::move(cache), trace);
      const Ids rows = rows_of(piece.tokens);
      trace.tokens.resize(kRows);
      for (std::size_t row = 0; row < kRows; ++row) {
        const std::ptrdiff_t known = begin == 0 ? 0 : 1;
        trace.tokens[row].insert(trace.tokens[row].end(), rows[row].begin() + known,
                                 rows[row].end());
        prefix[row] = {rows[row].back()};
      }
      cache = std::move(piece.cache);
      rng = piece.rng;
      begin = end - 1;
    }
    for (SlotId row = 0; row < kRows; ++row) trace.states.push_back(bits_of(cache->save(row)));
    return trace;
  }

  SeedRun run_;
  RandomSource random_;
};

TEST_P(GenerationCut, IntoThreeCallsThroughCacheEqualsTheUncutOneBitForBit) {
  const Trace whole = generate_in_pieces({kLength});
  const Trace cut = generate_in_pieces({9, 14, kLength});
  EXPECT_EQ(whole.tokens[0].size(), static_cast<std::size_t>(kLength));
  EXPECT_EQ(cut.tokens, whole.tokens);
  EXPECT_EQ(cut.logits, whole.logits);
  EXPECT_EQ(cut.states, whole.states);
}

TEST_P(GenerationCut, InsideThePrefixEqualsTheUncutOneBitForBit) {
  const Trace whole = generate_in_pieces({kLength});
  Trace trace;
  const Ids prefix = {walk(5, 300, 1), walk(5, 300, 2)};
  const Ids head = {{prefix[0][0], prefix[0][1]}, {prefix[1][0], prefix[1][1]}};
  GeneratedBatch first = generate(
      head, 2, random_, run_.run.model->make_state(run_.run.context, kRows, kLength), trace);
  EXPECT_TRUE(trace.logits.empty()) << "nothing was drawn";
  const Ids tail = {{prefix[0].begin() + 1, prefix[0].end()},
                    {prefix[1].begin() + 1, prefix[1].end()}};
  const GeneratedBatch second =
      generate(tail, kLength - 1, first.rng, std::move(first.cache), trace);
  EXPECT_EQ(trace.logits, whole.logits);
  const Ids rows = rows_of(second.tokens);
  for (std::size_t row = 0; row < kRows; ++row) {
    EXPECT_EQ(rows[row],
              std::vector<TokenId>(whole.tokens[row].begin() + 1, whole.tokens[row].end()));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, GenerationCut,
    ::testing::Combine(
        ::testing::Values(test::TinyModel{"xlstm", test::xlstm_config()},
                          test::TinyModel{"older", test::xlstm_older_config()},
                          test::TinyModel{"llama", test::llama_config()},
                          test::TinyModel{"xlstm_jax_llama", xlstm_jax_llama_config()}),
        ::testing::Values(NamedRandom{"jax_classic", JaxRandom{.key = jax_key(3)}},
                          NamedRandom{"jax_partitionable",
                                      JaxRandom{.key = jax_key(3),
                                                .layout = ThreefryLayout::partitionable}},
                          NamedRandom{"philox", PhiloxRandom{.seed = 3}}),
        ::testing::Values("reference", "cpu")),
    [](const auto& each) {
      return std::get<0>(each.param).name + "_" + std::get<1>(each.param).name + "_" +
             std::get<2>(each.param);
    });

TEST(GenerationCutOfXlstm, NeedsNoRoomMadeAhead) {
  SeedRun seed;
  GeneratedBatch first = seed.generate({{5, 6}}, test::greedy(4));
  GenerateTokensOptions options = test::greedy(40);
  options.cache = std::move(first.cache);
  const GeneratedBatch second = seed.generate({{first.tokens(0, 3)}}, std::move(options));
  EXPECT_EQ(second.cache->position(0), 42);
}

TEST(GenerationCutOfLlama, BeyondTheRoomOfItsCacheIsAUsageError) {
  SeedRun seed(test::llama_config());
  GeneratedBatch first = seed.generate({{5, 6}}, test::greedy(4));
  GenerateTokensOptions options = test::greedy(40);
  options.cache = std::move(first.cache);
  EXPECT_THROW(static_cast<void>(seed.generate({{first.tokens(0, 3)}}, std::move(options))),
               UsageError);
}

}  // namespace
}  // namespace gridmill
