#include "gridmill/base/threefry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill {
namespace {

// Numbers recorded from JAX: tests/data/rng/README.md.
const Json& recorded() {
  static const Json kRecorded = [] {
    const std::string path = std::string(GRIDMILL_TEST_DATA) + "/rng/threefry.json";
    return parse_json(read_text_file(path), path);
  }();
  return kRecorded;
}

std::vector<std::uint32_t> flat_words(const Json& value) {
  std::vector<std::uint32_t> words;
  if (!value.is_array()) return {value.get<std::uint32_t>()};
  for (const Json& part : value) {
    const std::vector<std::uint32_t> more = flat_words(part);
    words.insert(words.end(), more.begin(), more.end());
  }
  return words;
}

JaxKey key_of(const Json& value) {
  return {value.at(0).get<std::uint32_t>(), value.at(1).get<std::uint32_t>()};
}

/// Runs with every recorded layout and seed.
struct Stream {
  std::string layout_name;
  ThreefryLayout layout = ThreefryLayout::classic;
  std::uint64_t seed = 0;
};
void PrintTo(const Stream& stream, std::ostream* out) {
  *out << stream.layout_name << " seed " << stream.seed;
}

std::vector<Stream> recorded_streams() {
  std::vector<Stream> streams;
  for (const auto& [name, layout] : {std::pair{"classic", ThreefryLayout::classic},
                                     std::pair{"partitionable", ThreefryLayout::partitionable}}) {
    for (const auto& item : recorded().at(name).items()) {
      streams.push_back({name, layout, std::stoull(item.key().substr(5))});
    }
  }
  return streams;
}

class Threefry : public ::testing::TestWithParam<Stream> {
 protected:
  [[nodiscard]] const Json& record() const {
    return recorded().at(GetParam().layout_name).at("seed_" + std::to_string(GetParam().seed));
  }
  [[nodiscard]] JaxKey key() const { return jax_key(GetParam().seed); }
};

TEST(Threefry2x32, EqualsTheKnownAnswersOfRandom123) {
  using Pair = std::array<std::uint32_t, 2>;
  EXPECT_EQ(threefry2x32({0, 0}, 0, 0), (Pair{0x6B200159U, 0x99BA4EFEU}));
  EXPECT_EQ(threefry2x32({0xFFFFFFFFU, 0xFFFFFFFFU}, 0xFFFFFFFFU, 0xFFFFFFFFU),
            (Pair{0x1CB996FCU, 0xBB002BE7U}));
  EXPECT_EQ(threefry2x32({0x13198A2EU, 0x03707344U}, 0x243F6A88U, 0x85A308D3U),
            (Pair{0xC4923A9CU, 0x483DF7A0U}));
}

TEST(JaxKeys, ASeedIsTakenModulo32Bits) {
  EXPECT_EQ(jax_key(7), (JaxKey{0, 7}));
  EXPECT_EQ(jax_key(0x100000007ULL), (JaxKey{0, 7}));
}

TEST(JaxRecords, AllFourSeedsAndBothLayoutsAreThere) { EXPECT_EQ(recorded_streams().size(), 8U); }

TEST_P(Threefry, TheKeyIsThatOfJax) { EXPECT_EQ(key(), key_of(record().at("key"))); }

TEST_P(Threefry, SplittingEqualsJax) {
  const auto [first, second] = split(key(), GetParam().layout);
  EXPECT_EQ(first, key_of(record().at("split2").at(0)));
  EXPECT_EQ(second, key_of(record().at("split2").at(1)));
}

TEST_P(Threefry, FoldingInEqualsJax) {
  for (std::uint32_t data = 0; data < 8; ++data) {
    EXPECT_EQ(fold_in(key(), data), key_of(record().at("fold_in_0_to_7").at(data))) << data;
  }
}

TEST_P(Threefry, TheKeysOfTheSamplingLoopEqualJax) {
  JaxKey carried = key();
  for (const Json& expected : record().at("loop_step_keys")) {
    const auto [step, next] = split(carried, GetParam().layout);
    EXPECT_EQ(step, key_of(expected));
    carried = next;
  }
}

TEST_P(Threefry, WordsAndUniformNumbersEqualJaxExactly) {
  for (const auto& [name, shape] : record().items()) {
    if (name.rfind("shape_", 0) != 0) continue;
    const std::vector<std::uint32_t> expected = flat_words(shape.at("bits"));
    const std::vector<std::uint32_t> uniform = flat_words(shape.at("uniform"));
    const std::vector<std::uint32_t> words = random_bits(key(), expected.size(), GetParam().layout);
    ASSERT_EQ(words, expected) << name;
    for (std::size_t i = 0; i < words.size(); ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(jax_uniform(words[i])), uniform[i]) << name << i;
    }
  }
}

// jax.random.gumbel uses the logarithm of its compiler, ours is log_f32: both are within a few ulp
// of -log u and of its logarithm. Near 0 an ulp of -log u (6e-8 relative) becomes an absolute 6e-8,
// hence the absolute part.
TEST_P(Threefry, GumbelNumbersEqualJaxToRounding) {
  for (const auto& [name, shape] : record().items()) {
    if (name.rfind("shape_", 0) != 0) continue;
    const std::vector<std::uint32_t> words = flat_words(shape.at("bits"));
    const std::vector<std::uint32_t> expected = flat_words(shape.at("gumbel"));
    for (std::size_t i = 0; i < words.size(); ++i) {
      const float want = std::bit_cast<float>(expected[i]);
      ASSERT_NEAR(jax_gumbel(words[i]), want, 3e-7F + 1e-6F * std::fabs(want)) << name << " " << i;
    }
  }
}

TEST_P(Threefry, TheLargestNoisyLogitIsJaxsDraw) {
  for (const auto& [name, shape] : record().items()) {
    if (name.rfind("shape_", 0) != 0) continue;
    const std::vector<std::uint32_t> words = flat_words(shape.at("bits"));
    const std::vector<std::uint32_t> logits = flat_words(shape.at("logits"));
    const std::vector<std::uint32_t> draws = flat_words(shape.at("categorical"));
    const std::size_t vocabulary = logits.size() / draws.size();
    for (std::size_t row = 0; row < draws.size(); ++row) {
      std::vector<float> scores;
      for (std::size_t i = row * vocabulary; i < (row + 1) * vocabulary; ++i) {
        scores.push_back(std::bit_cast<float>(logits[i]) + jax_gumbel(words[i]));
      }
      EXPECT_EQ(std::max_element(scores.begin(), scores.end()) - scores.begin(), draws[row])
          << name << " row " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, Threefry, ::testing::ValuesIn(recorded_streams()));

TEST(JaxGumbel, IsFiniteForTheExtremeWords) {
  EXPECT_TRUE(std::isfinite(jax_gumbel(0)));
  EXPECT_TRUE(std::isfinite(jax_gumbel(0xFFFFFFFFU)));
  EXPECT_LT(jax_gumbel(0), jax_gumbel(0xFFFFFFFFU));
}

}  // namespace
}  // namespace gridmill
