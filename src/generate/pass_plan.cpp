#include <algorithm>
#include <cstddef>

#include "generate/pass_plan_detail.hpp"

namespace gridmill::generate_detail {

std::vector<std::int64_t> share_pass(std::span<const std::int64_t> pending,
                                     std::int64_t pass_rows) {
  std::vector<std::int64_t> shares(pending.size(), 0);
  std::int64_t single = 0;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (pending[i] == 1) {
      shares[i] = 1;
      ++single;
    }
  }
  std::int64_t left = std::max({pass_rows - single, pass_rows / 8, std::int64_t{1}});
  for (std::size_t i = 0; i < pending.size() && left > 0; ++i) {
    if (pending[i] <= 1) continue;
    shares[i] = std::min(pending[i], left);
    left -= shares[i];
  }
  return shares;
}

}  // namespace gridmill::generate_detail
