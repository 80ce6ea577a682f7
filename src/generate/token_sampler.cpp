#include "gridmill/generate/token_sampler.hpp"

#include "gridmill/sampling/greedy.hpp"
#include "gridmill/sampling/sampling_plan.hpp"
#include "gridmill/sampling/temperature.hpp"

namespace gridmill {

namespace {

std::vector<TokenId> philox_sampling(TensorView<const float, 2> logits, const StepRandom& random,
                                     const PhiloxRandom& source, float temperature) {
  std::vector<TokenId> tokens;
  std::vector<float> scores(static_cast<std::size_t>(logits.extent(1)));
  for (std::int64_t row = 0; row < logits.extent(0); ++row) {
    const SamplingPlan plan{.temperature = temperature,
                            .key = {.seed = source.seed,
                                    .prompt = source.first_prompt + static_cast<PromptId>(row),
                                    .sample = 0,
                                    .position = random.positions[static_cast<std::size_t>(row)]}};
    for (std::size_t id = 0; id < scores.size(); ++id) {
      scores[id] = selection_score(plan, static_cast<TokenId>(id), logits.row(row)[id]);
    }
    tokens.push_back(greedy_sampling(scores));
  }
  return tokens;
}

}  // namespace

TokenSampler greedy_sampler() {
  return [](TensorView<const float, 2> logits, const StepRandom& /*random*/) {
    return greedy_sampling(logits);
  };
}

TokenSampler temperature_sampler(float temperature) {
  return [temperature](TensorView<const float, 2> logits, const StepRandom& random) {
    if (const auto* jax = std::get_if<JaxRandom>(&random.source)) {
      return temperature_sampling(logits, jax->key, temperature, jax->layout);
    }
    return philox_sampling(logits, random, std::get<PhiloxRandom>(random.source), temperature);
  };
}

}  // namespace gridmill
