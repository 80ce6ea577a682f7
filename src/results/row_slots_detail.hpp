#pragma once

#include <cstdint>
#include <vector>

#include "gridmill/results/layout.hpp"

namespace gridmill::detail {

/// A dataset of a result file: each row has `row_bytes` of it, one behind the other.
struct RowSlot {
  const char* dataset;
  std::uint64_t offset = 0;
  std::uint64_t row_bytes = 0;
};

/// All datasets that the file has, `rows` first. Files of one shape give them in the same order.
[[nodiscard]] std::vector<RowSlot> row_slots(const ResultLayout& layout);

}  // namespace gridmill::detail
