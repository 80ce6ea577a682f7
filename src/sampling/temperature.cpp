#include "gridmill/sampling/temperature.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/sampling/greedy.hpp"

namespace gridmill {

std::vector<TokenId> temperature_sampling(TensorView<const float, 2> logits, JaxKey key,
                                          float temperature, ThreefryLayout layout) {
  if (!std::isfinite(temperature)) {
    throw UsageError(fmt::format("temperature must be a finite number, not {}", temperature));
  }
  const std::int64_t rows = logits.extent(0);
  std::vector<TokenId> tokens;
  if (temperature == 0.0F) {
    for (std::int64_t row = 0; row < rows; ++row) {
      tokens.push_back(greedy_sampling(logits.row(row)));
    }
    return tokens;
  }
  const auto vocab_size = static_cast<std::size_t>(logits.extent(1));
  const std::vector<std::uint32_t> words =
      random_bits(key, static_cast<std::uint64_t>(logits.size()), layout);
  std::vector<float> scores(vocab_size);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::uint32_t* row_words = words.data() + static_cast<std::size_t>(row) * vocab_size;
    for (std::size_t id = 0; id < vocab_size; ++id) {
      scores[id] = logits.row(row)[id] / temperature + jax_gumbel(row_words[id]);
    }
    tokens.push_back(greedy_sampling(scores));
  }
  return tokens;
}

}  // namespace gridmill
