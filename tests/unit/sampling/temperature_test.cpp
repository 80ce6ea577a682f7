#include "gridmill/sampling/temperature.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/tensor.hpp"

namespace gridmill {
namespace {

/// One recorded call of jax.random.categorical (tests/data/rng).
struct Draw {
  std::string name;
  ThreefryLayout layout;
  std::uint64_t seed;
  Tensor<float, 2> logits;
  std::vector<TokenId> tokens;
};

std::vector<std::uint32_t> flat_words(const Json& json) {
  if (json.is_number()) return {json.get<std::uint32_t>()};
  std::vector<std::uint32_t> words;
  for (const Json& item : json) {
    for (const std::uint32_t word : flat_words(item)) words.push_back(word);
  }
  return words;
}

Draw recorded_draw(const std::string& layout, const std::string& seed, const std::string& shape,
                   const Json& record) {
  Draw draw{layout + "/" + seed + "/" + shape,
            layout == "classic" ? ThreefryLayout::classic : ThreefryLayout::partitionable,
            std::stoull(seed.substr(5)),
            Tensor<float, 2>(),
            {}};
  for (const std::uint32_t word : flat_words(record.at("categorical"))) {
    draw.tokens.push_back(std::bit_cast<TokenId>(word));
  }
  const std::vector<std::uint32_t> words = flat_words(record.at("logits"));
  const auto rows = static_cast<std::int64_t>(draw.tokens.size());
  draw.logits = Tensor<float, 2>({rows, static_cast<std::int64_t>(words.size()) / rows});
  for (std::size_t i = 0; i < words.size(); ++i) {
    draw.logits.flat()[i] = std::bit_cast<float>(words[i]);
  }
  return draw;
}

std::vector<Draw> recorded_draws() {
  const std::string path = GRIDMILL_TEST_DATA "/rng/threefry.json";
  const Json all = parse_json(read_text_file(path), path);
  std::vector<Draw> draws;
  for (const std::string layout : {"classic", "partitionable"}) {
    for (const auto& [seed, record] : all.at(layout).items()) {
      for (const auto& [shape, values] : record.items()) {
        if (shape.starts_with("shape_")) {
          draws.push_back(recorded_draw(layout, seed, shape, values));
        }
      }
    }
  }
  return draws;
}

TEST(TemperatureSampling, DrawsWhatJaxDraws) {
  const std::vector<Draw> draws = recorded_draws();
  ASSERT_EQ(draws.size(), 32U);
  for (const Draw& draw : draws) {
    EXPECT_EQ(temperature_sampling(draw.logits.view(), jax_key(draw.seed), 1.0F, draw.layout),
              draw.tokens)
        << draw.name;
  }
}

TEST(TemperatureSampling, DividesTheLogitsByTheTemperature) {
  for (Draw draw : recorded_draws()) {
    for (float& logit : draw.logits.flat()) logit *= 4.0F;  // exact, so the draws stay
    EXPECT_EQ(temperature_sampling(draw.logits.view(), jax_key(draw.seed), 4.0F, draw.layout),
              draw.tokens)
        << draw.name;
  }
}

TEST(TemperatureSampling, TheClassicLayoutMakesARowsNoiseDependOnTheBatch) {
  const Tensor<float, 2> one({1, 33}, 0.0F);
  const Tensor<float, 2> two({2, 33}, 0.0F);
  int different = 0;
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    const auto alone =
        temperature_sampling(one.view(), jax_key(seed), 1.0F, ThreefryLayout::classic);
    const auto first =
        temperature_sampling(two.view(), jax_key(seed), 1.0F, ThreefryLayout::classic);
    if (alone[0] != first[0]) ++different;
    const auto part =
        temperature_sampling(one.view(), jax_key(seed), 1.0F, ThreefryLayout::partitionable);
    const auto whole =
        temperature_sampling(two.view(), jax_key(seed), 1.0F, ThreefryLayout::partitionable);
    EXPECT_EQ(part[0], whole[0]) << seed;
  }
  EXPECT_GT(different, 8);
}

TEST(TemperatureSampling, ZeroIsGreedy) {
  Tensor<float, 2> logits({2, 3}, 0.0F);
  logits(0, 2) = 1.0F;
  logits(1, 1) = 1.0F;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    EXPECT_EQ(temperature_sampling(logits.view(), jax_key(seed), 0.0F, ThreefryLayout::classic),
              (std::vector<TokenId>{2, 1}));
  }
}

TEST(TemperatureSampling, ANegativeTemperaturePrefersUnlikelyTokens) {
  Tensor<float, 2> logits({1, 3}, 100.0F);
  logits(0, 1) = -100.0F;
  EXPECT_EQ(temperature_sampling(logits.view(), jax_key(1), -1.0F, ThreefryLayout::classic),
            std::vector<TokenId>{1});
}

TEST(TemperatureSampling, ANanCountsAsTheLargest) {
  Tensor<float, 2> logits({1, 5}, 0.0F);
  logits(0, 3) = std::numeric_limits<float>::quiet_NaN();
  logits(0, 4) = 1e30F;
  EXPECT_EQ(temperature_sampling(logits.view(), jax_key(1), 1.0F, ThreefryLayout::classic),
            std::vector<TokenId>{3});
}

TEST(TemperatureSampling, NoRowsGiveNoTokens) {
  const Tensor<float, 2> logits({0, 5});
  EXPECT_TRUE(
      temperature_sampling(logits.view(), jax_key(1), 1.0F, ThreefryLayout::classic).empty());
}

TEST(TemperatureSampling, ATemperatureThatIsNoNumberIsRefused) {
  const Tensor<float, 2> logits({1, 5});
  for (const float temperature :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(static_cast<void>(temperature_sampling(logits.view(), jax_key(1), temperature,
                                                        ThreefryLayout::classic)),
                 UsageError);
  }
}

}  // namespace
}  // namespace gridmill
