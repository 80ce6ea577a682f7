#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convert/quantised/dequantised_matrix.hpp"

namespace gridmill::convert_detail {

/// How the parts of a ScaledMatrix lie.
struct ScaledForm {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  /// 0: a code an element, int8 or FP8, [rows, columns]. Else codes of so many bits less
  /// 2^(bits - 1), in words of 32 bits along a row, the lowest bits first.
  std::int64_t packed_bits = 0;
  /// A scale (and zero) for each block of so many rows and columns, row-major by block. Blocks at
  /// the end may hang over.
  std::int64_t block_rows = 1;
  std::int64_t block_columns = 1;
  std::string type;  ///< names it in messages
};

/// value = (code - zero) * scale of its block, times `factor` in a second rounding.
class ScaledMatrix final : public DequantisedMatrix {
 public:
  /// @param codes, scales, zeros, order  must outlive this. @param zeros  int8 in the grid of the
  /// scales, or (packed_bits > 0) words along the first axis of that grid; nullptr: 0. @param order
  /// I32 [columns], the block of each column; nullptr: column / block_columns.
  /// The caller has checked the shapes.
  ScaledMatrix(std::string name, ScaledForm form, const ForeignTensor& codes,
               const ForeignTensor& scales, const ForeignTensor* zeros = nullptr,
               const ForeignTensor* order = nullptr, float factor = 1);

 protected:
  void read_rows(std::int64_t first, std::span<float> out) const override;

 private:
  void read_codes(std::int64_t first, std::span<float> out) const;
  void read_zeros(std::int64_t block_row, std::span<float> out) const;
  [[nodiscard]] std::vector<std::int32_t> block_of_columns() const;
  [[nodiscard]] std::int64_t grid_columns() const;

  ScaledForm form_;
  const ForeignTensor& codes_;
  const ForeignTensor& scales_;
  const ForeignTensor* zeros_;
  const ForeignTensor* order_;
  float factor_;
};

/// The blocks that a tensor of scales means, by its shape: one for all ([], [1] or [1, 1]), one a
/// row ([rows] or [rows, 1]), or a grid.
/// @param block_rows, block_columns  of a grid.
/// @throws FormatError naming the tensor if it fits neither.
void set_blocks(ScaledForm& form, const ForeignTensor& scales, std::int64_t block_rows,
                std::int64_t block_columns);

}  // namespace gridmill::convert_detail
