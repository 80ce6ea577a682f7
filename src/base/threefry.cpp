#include "gridmill/base/threefry.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "gridmill/base/numerics.hpp"

namespace gridmill {

std::array<std::uint32_t, 2> threefry2x32(JaxKey key, std::uint32_t a, std::uint32_t b) {
  constexpr std::array<std::array<int, 4>, 2> kRotations = {{{13, 15, 26, 6}, {17, 29, 16, 24}}};
  const std::array<std::uint32_t, 3> k = {key.k0, key.k1, key.k0 ^ key.k1 ^ 0x1BD11BDAU};
  a += k[0];
  b += k[1];
  for (std::uint32_t group = 0; group < 5; ++group) {
    for (const int rotation : kRotations[group % 2]) {
      a += b;
      b = std::rotl(b, rotation) ^ a;
    }
    a += k[(group + 1) % 3];
    b += k[(group + 2) % 3] + group + 1;
  }
  return {a, b};
}

std::pair<JaxKey, JaxKey> split(JaxKey key, ThreefryLayout layout) {
  if (layout == ThreefryLayout::classic) {
    const std::vector<std::uint32_t> words = random_bits(key, 4, layout);
    return {{words[0], words[1]}, {words[2], words[3]}};
  }
  const auto first = threefry2x32(key, 0, 0);
  const auto second = threefry2x32(key, 0, 1);
  return {{first[0], first[1]}, {second[0], second[1]}};
}

JaxKey fold_in(JaxKey key, std::uint32_t data) {
  const auto words = threefry2x32(key, 0, data);
  return {words[0], words[1]};
}

std::vector<std::uint32_t> random_bits(JaxKey key, std::uint64_t count, ThreefryLayout layout) {
  std::vector<std::uint32_t> words(count);
  if (layout == ThreefryLayout::partitionable) {
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto pair =
          threefry2x32(key, static_cast<std::uint32_t>(i >> 32), static_cast<std::uint32_t>(i));
      words[i] = pair[0] ^ pair[1];
    }
    return words;
  }
  // Counters 0..n-1 (one 0 appended if n is odd) in two halves; outputs concatenated half by half.
  const std::uint64_t half = (count + 1) / 2;
  for (std::uint64_t i = 0; i < half; ++i) {
    const std::uint64_t partner = half + i;
    const auto pair = threefry2x32(key, static_cast<std::uint32_t>(i),
                                   partner < count ? static_cast<std::uint32_t>(partner) : 0U);
    words[i] = pair[0];
    if (partner < count) words[partner] = pair[1];
  }
  return words;
}

float jax_uniform(std::uint32_t word) {
  return std::bit_cast<float>((word >> 9) | 0x3F800000U) - 1.0F;
}

float jax_gumbel(std::uint32_t word) {
  constexpr float kTiny = std::numeric_limits<float>::min();
  const float u = std::fmax(kTiny, jax_uniform(word) * (1.0F - kTiny) + kTiny);
  return -log_f32(-log_f32(u));
}

}  // namespace gridmill
