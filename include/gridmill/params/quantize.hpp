#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "gridmill/params/parameter_spec.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// Parameters of a model that are worth codes, with the inputs after which their groups restart:
/// the matrices of its layers, but for those that hold gates of a recurrence's state, whose errors
/// multiply all of it.
[[nodiscard]] std::map<std::string, std::int64_t> codable_parameters(
    const ModelParameters& parameters);

/// Rounds one output of a matrix to codes, group by group: of some scales around the usual ones
/// (the largest magnitude over the largest code), each refined by least squares, the one with the
/// least squared error.
/// @param block  inputs after which groups restart, see groups_in.
/// @param codes  [inputs], one a byte, also those of 4 bits.
/// @param scales  [groups_in(inputs, block, group)], fp16.
/// @throws FormatError for a value that is not finite, or too large for a scale in fp16.
void quantize_row(std::span<const float> values, const WeightFormat& format, std::int64_t block,
                  std::span<std::byte> codes, std::span<std::uint16_t> scales);

/// value = code * scale, exact.
void dequantize_row(std::span<const std::byte> codes, std::span<const std::uint16_t> scales,
                    const WeightFormat& format, std::int64_t block, std::span<float> values);

/// Two codes of 4 bits a byte, as a checkpoint stores them: code + 8, the first in the low bits. A
/// missing last code is 0.
void pack_int4_row(std::span<const std::byte> codes, std::span<std::byte> pairs);
void unpack_int4_row(std::span<const std::byte> pairs, std::span<std::byte> codes);

}  // namespace gridmill
