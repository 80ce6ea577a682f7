#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "convert/foreign_tensor_detail.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill::convert_detail {

/// A rectangle of one of our parameters and where it lies in the foreign tensor: element (r, c) of
/// the rectangle is foreign element first + r * row_stride + c * column_stride. Rows lie one after
/// the other (column_stride 1), or the matrix is transposed.
struct TakenBlock {
  IndexRange rows;
  IndexRange columns;
  std::int64_t first = 0;
  std::int64_t row_stride = 1;
  std::int64_t column_stride = 1;
};

/// Which elements of a foreign tensor make up one of our parameters. A vector [n] is a matrix
/// [n, 1] here.
struct ParameterTake {
  std::string tensor;                   ///< empty: all zeros
  Extents shape;                        ///< what the foreign tensor must be
  std::vector<TakenBlock> blocks = {};  ///< what no block covers is 0
  /// Greater than 0: every group of so many rows holds interleaved rotary pairs (2i, 2i + 1), ours
  /// are half-split (i, i + width / 2).
  std::int64_t rotary_width = 0;
  /// First rows of such a group that are pairs; the others stay where they are. 0 = all.
  std::int64_t rotated_rows = 0;
  /// Added to every element.
  float shift = 0;
};

[[nodiscard]] std::int64_t rows_of(const ParameterSpec& spec);
[[nodiscard]] std::int64_t columns_of(const ParameterSpec& spec);

/// The whole tensor, of the parameter's own shape.
[[nodiscard]] ParameterTake take_whole(std::string tensor, const ParameterSpec& spec);
/// Rows [first_row, first_row + rows of the parameter) of a tensor with `total_rows` rows.
[[nodiscard]] ParameterTake take_rows(std::string tensor, const ParameterSpec& spec,
                                      std::int64_t first_row, std::int64_t total_rows);
/// Zeros: a bias that the foreign model lacks beside biases that it has.
[[nodiscard]] ParameterTake take_zeros(const ParameterSpec& spec);

/// Reads a parameter in order, in row-major pieces of whole rows, and hands each to `sink`.
/// @param tensor  what `take.tensor` names; nullptr for zeros.
/// @param piece_elements  how large a piece may be if it has more than one row (or, for rotary
///        pairs, one head); about three times as much memory is used.
void read_parameter(const ParameterSpec& spec, const ParameterTake& take,
                    const ForeignTensor* tensor, std::int64_t piece_elements,
                    const std::function<void(std::span<const float>)>& sink);

}  // namespace gridmill::convert_detail
