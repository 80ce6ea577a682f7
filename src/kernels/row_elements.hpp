#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gridmill/base/dtype.hpp"

namespace gridmill::kernels_detail {

/// Element `index` of a row of any dtype; rows may be unaligned.
inline float element_of_row(const std::byte* row, DType dtype, std::int64_t index) {
  const std::byte* source = row + static_cast<std::size_t>(index) * size_of(dtype);
  if (dtype == DType::fp32) {
    float value = 0;
    std::memcpy(&value, source, sizeof value);
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, source, sizeof half);
  return dtype == DType::bf16 ? bf16_to_fp32(half) : fp16_to_fp32(half);
}

}  // namespace gridmill::kernels_detail
