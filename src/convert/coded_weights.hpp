#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/params/weight_format.hpp"

namespace gridmill::convert_detail {

/// Rows of a matrix, in fp32, to codes and scales as a checkpoint stores them.
struct CodedPiece {
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;
};
/// @param values  whole rows of `inputs` values.
/// @throws FormatError as quantize_row
[[nodiscard]] CodedPiece quantize_rows(std::span<const float> values, std::int64_t inputs,
                                       const WeightFormat& format, std::int64_t block, int threads);

}  // namespace gridmill::convert_detail
