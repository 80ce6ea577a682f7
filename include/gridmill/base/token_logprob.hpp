#pragma once

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// A token and its log-probability.
struct TokenLogprob {
  TokenId id = -1;
  float logprob = 0;
  bool operator==(const TokenLogprob& other) const = default;
};

}  // namespace gridmill
