#pragma once

#include <string>
#include <string_view>

#include "gridmill/base/dtype.hpp"
#include "kernels/cpu/kernel_table.hpp"

namespace gridmill::cpu {

/// Kernels for this CPU, and a line on why these.
struct KernelChoice {
  KernelTable table;
  std::string why;
};

/// @param target  avx512bf16, avx512 or avx2; auto: for bf16 the one whose products are the fastest
/// here, measured for some milliseconds among those that give the right bits; for fp32 the widest.
/// @throws UsageError for another name, ResourceError if this CPU cannot run it.
[[nodiscard]] KernelChoice choose_kernels(std::string_view target, DType compute_dtype);
/// The table of choose_kernels.
[[nodiscard]] KernelTable kernels_for(std::string_view target, DType compute_dtype);

/// Whether the table's bf16 pair product has the bits of docs/numerics.md, section 2.
[[nodiscard]] bool pair_product_is_exact(const KernelTable& kernels);

}  // namespace gridmill::cpu
