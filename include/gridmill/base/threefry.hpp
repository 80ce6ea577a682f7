#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace gridmill {

/// Order in which JAX assigns counters to words (jax_threefry_partitionable).
enum class ThreefryLayout { classic, partitionable };

/// A JAX key: the pair (k0, k1).
struct JaxKey {
  std::uint32_t k0 = 0;
  std::uint32_t k1 = 0;
  friend bool operator==(const JaxKey&, const JaxKey&) = default;
};

/// jax.random.key(seed) with 64-bit mode off: (0, seed mod 2^32).
[[nodiscard]] constexpr JaxKey jax_key(std::uint64_t seed) {
  return {0, static_cast<std::uint32_t>(seed)};
}
/// Threefry-2x32 with 20 rounds of the counter (a, b). Source: Salmon et al., SC 2011, as in JAX.
[[nodiscard]] std::array<std::uint32_t, 2> threefry2x32(JaxKey key, std::uint32_t a,
                                                        std::uint32_t b);
/// jax.random.split(key): two keys.
[[nodiscard]] std::pair<JaxKey, JaxKey> split(JaxKey key, ThreefryLayout layout);
/// jax.random.fold_in(key, data); equal in both layouts.
[[nodiscard]] JaxKey fold_in(JaxKey key, std::uint32_t data);
/// jax.random.bits(key, shape) for `count` elements in row-major order.
[[nodiscard]] std::vector<std::uint32_t> random_bits(JaxKey key, std::uint64_t count,
                                                     ThreefryLayout layout);
/// jax.random.uniform in [0, 1) of one word.
[[nodiscard]] float jax_uniform(std::uint32_t word);
/// jax.random.gumbel of one word (float32), with log_f32 for the logarithm: about 1e-6 from JAX.
[[nodiscard]] float jax_gumbel(std::uint32_t word);

}  // namespace gridmill
