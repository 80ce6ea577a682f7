#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/weight.hpp"
#include "kernels/reference/fma_loops.hpp"

// Shared code of several operations of the reference: rounding, packed rows, panels, norms.
namespace gridmill::reference {

/// Rounds to the compute dtype. bf16: nearest even, subnormal values become a zero of their sign.
[[nodiscard]] float rounded(float value, DType compute_dtype);
/// The same as stored.
[[nodiscard]] Bf16 rounded_bf16(float value);

/// Inputs of a packed row or a panel in memory: padded to even for bf16.
[[nodiscard]] constexpr std::int64_t padded_inputs(std::int64_t inputs, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? (inputs + 1) / 2 * 2 : inputs;
}

/// Values of a packed row: already rounded, padded_inputs() of them.
[[nodiscard]] const float* packed_row(const PackedRows& x, std::int64_t row, DType compute_dtype);
/// Rounds `size` values into columns [first, first + size) of a packed row, and zeroes the padding
/// behind the last column.
void write_packed(const PackedRows& out, std::int64_t row, std::int64_t first, const float* values,
                  std::int64_t size, DType compute_dtype);

/// Sums of 16 outputs over inputs [first, first + count): the chain of docs/numerics.md, section 2,
/// or of section 2a for a matrix of codes. `first` is even, and begins a block of `shape`.
[[nodiscard]] Lanes panel_product(const MatrixShape& shape, const float* x, const std::byte* panel,
                                  std::int64_t first, std::int64_t count, DType compute_dtype);
/// Bytes of one panel of 16 outputs, or of one row.
[[nodiscard]] std::size_t panel_bytes_of(const MatrixShape& shape, MatrixLayout layout,
                                         DType compute_dtype);
/// Panel `index`, which has to be there.
[[nodiscard]] const std::byte* panel_of(const Weight& w, std::int64_t index);
/// Throws InternalError unless `x` and `w` fit each other and `w` holds panels.
void check_product(const PackedRows& x, const Weight& w, Fuse fuse, DType compute_dtype);
/// Throws InternalError unless `bias` is empty or has one element for each output.
void check_bias(ConstDeviceVector bias, std::int64_t outputs);
/// sums[l] += bias[first + l], as far as `bias` goes. An empty one adds nothing.
void add_bias(Lanes& sums, ConstDeviceVector bias, std::int64_t first);

/// out[i] = norm(x)[i], n values; section 3. `out` may be `x`.
void normalize(const Norm& norm, const float* x, std::int64_t size, float* out);

/// b > a ? b : a, but NaN if either is NaN.
[[nodiscard]] float larger(float a, float b);

}  // namespace gridmill::reference
