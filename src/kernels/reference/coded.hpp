#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/params/shape.hpp"
#include "kernels/reference/fma_loops.hpp"

// Matrices of codes (docs/numerics.md, section 2a). A panel of the reference holds codes as int8,
// also those of 4 bits, [k][16], and then the groups' scales in fp16, [group][16].
namespace gridmill::reference {

/// A group of inputs rounded to int8.
struct RoundedGroup {
  std::vector<int> codes;
  float scale = 0;
};
/// @param x  values that are rounded to bf16 already.
[[nodiscard]] RoundedGroup rounded_group(std::span<const float> x);

[[nodiscard]] std::size_t coded_panel_bytes(const MatrixShape& shape);
/// Sums of 16 outputs over inputs [first, first + count), which begin a block of `shape`.
[[nodiscard]] Lanes coded_product(const MatrixShape& shape, const float* x, const std::byte* panel,
                                  std::int64_t first, std::int64_t count);
/// Backend::pack_panel for codes; `panel` is zero.
void pack_coded_panel(const MatrixShape& shape, std::span<const std::byte* const> lanes,
                      std::span<std::byte> panel);

}  // namespace gridmill::reference
