// base/philox and sampling/sampling_plan, operation by operation, for device code.
#pragma once

#include "gridmill/sampling/sampling_plan.hpp"
#include "kernels/cuda/math.cuh"

namespace gridmill::cuda {

GRIDMILL_DEVICE std::uint32_t philox_word(const DrawKey& draw, std::uint32_t token) {
  std::uint32_t counter[4] = {token / 4, draw.position, draw.sample, draw.prompt};
  std::uint32_t key[2] = {static_cast<std::uint32_t>(draw.seed),
                          static_cast<std::uint32_t>(draw.seed >> 32)};
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57U} * counter[2];
    const std::uint32_t next0 = static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0];
    const std::uint32_t next2 = static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1];
    counter[0] = next0;
    counter[1] = static_cast<std::uint32_t>(product1);
    counter[2] = next2;
    counter[3] = static_cast<std::uint32_t>(product0);
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  const std::uint32_t word = token % 4;
  return word == 0 ? counter[0] : word == 1 ? counter[1] : word == 2 ? counter[2] : counter[3];
}

GRIDMILL_DEVICE float score_of(float temperature, const DrawKey& key, TokenId id, float logit) {
  if (temperature == 0.0F) return logit;
  const std::uint32_t word = philox_word(key, static_cast<std::uint32_t>(id));
  const float u = (static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F;
  return logit / temperature + -log_of(-log_of(u));
}

/// exp(x - max), 1 where x is the maximum, also an infinite one.
GRIDMILL_DEVICE float exp_below(float x, float max) { return x == max ? 1.0F : exp_of(x - max); }

GRIDMILL_DEVICE void join_sums(float& max_logit, float& sum_exp, float other_max, float other_sum) {
  if (other_sum == 0.0F) return;
  if (sum_exp == 0.0F) {
    max_logit = other_max;
    sum_exp = other_sum;
    return;
  }
  const float largest = max_logit > other_max ? max_logit : other_max;
  sum_exp = fmaf(sum_exp, exp_below(max_logit, largest), other_sum * exp_below(other_max, largest));
  max_logit = largest;
}

}  // namespace gridmill::cuda
