#pragma once

#include <string_view>

#include "gridmill/base/dtype.hpp"
#include "kernels/cpu/kernel_table.hpp"

namespace gridmill::cpu {

/// Kernels for this CPU. `target`: auto (the widest that this CPU runs correctly), avx512bf16,
/// avx512 or avx2.
/// @throws UsageError for another name, ResourceError if this CPU cannot run it.
[[nodiscard]] const KernelTable& kernels_for(std::string_view target, DType compute_dtype);

/// Whether the table's bf16 pair product has the bits of docs/numerics.md, section 2.
[[nodiscard]] bool pair_product_is_exact(const KernelTable& kernels);

}  // namespace gridmill::cpu
