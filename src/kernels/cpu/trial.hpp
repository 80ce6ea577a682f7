#pragma once

#include "kernels/cpu/kernel_table.hpp"

namespace gridmill::cpu {

/// Rate of a table's bf16 products on this machine: a matrix of [192, 1024] in the L2 cache by
/// 32 rows.
struct ProductTrial {
  bool exact = false;     ///< its bits are those of docs/numerics.md, section 2
  double flop_per_s = 0;  ///< the fastest of some runs, about a millisecond in all
};
[[nodiscard]] ProductTrial try_product(const KernelTable& kernels);

}  // namespace gridmill::cpu
