#include "gridmill/sampling/greedy.hpp"

#include <cmath>
#include <cstddef>

#include "gridmill/base/error.hpp"

namespace gridmill {

TokenId greedy_sampling(std::span<const float> logits) {
  if (logits.empty()) throw UsageError("greedy sampling needs at least one logit, found none");
  std::size_t best = 0;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id])) return static_cast<TokenId>(id);
    if (logits[id] > logits[best]) best = id;
  }
  return static_cast<TokenId>(best);
}

std::vector<TokenId> greedy_sampling(TensorView<const float, 2> logits) {
  std::vector<TokenId> tokens;
  tokens.reserve(static_cast<std::size_t>(logits.extent(0)));
  for (std::int64_t row = 0; row < logits.extent(0); ++row) {
    tokens.push_back(greedy_sampling(logits.row(row)));
  }
  return tokens;
}

}  // namespace gridmill
