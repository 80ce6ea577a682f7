#include "gridmill/params/quantize.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/fp16.hpp"

namespace gridmill {

namespace {

constexpr std::size_t kLanes = 8;
constexpr std::size_t kMostInputs = 128;
/// Values of a group, filled up with zeros, which add nothing to any sum.
using Group = std::array<float, kMostInputs>;
using Lanes = std::array<float, kLanes>;

struct CodeRange {
  float least, most;
};
CodeRange range_of(WeightCodes codes) {
  return codes == WeightCodes::int8 ? CodeRange{-127.0F, 127.0F} : CodeRange{-8.0F, 7.0F};
}

/// To the nearest integer, ties to even, for magnitudes below 2^22; compilers make vectors of it.
float to_integer(float x) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23
  return (x + kShift) - kShift;
}

float code_of(float value, float inverse, const CodeRange& range) {
  return to_integer(std::clamp(value * inverse, range.least, range.most));
}

float sum_of(const Lanes& lanes) {
  float sum = 0;
  for (const float lane : lanes) sum += lane;
  return sum;
}

float inverse_of(float scale) { return scale == 0.0F ? 0.0F : 1.0F / scale; }

/// Scale of the least squared error for the codes that `scale` gives.
float refined(const Group& group, std::size_t count, float scale, const CodeRange& range) {
  const float inverse = inverse_of(scale);
  Lanes products{};
  Lanes squares{};
  for (std::size_t first = 0; first < count; first += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = group[first + lane];
      const float code = code_of(value, inverse, range);
      products[lane] += value * code;
      squares[lane] += code * code;
    }
  }
  const float square = sum_of(squares);
  return square == 0.0F ? scale : sum_of(products) / square;
}

float squared_error(const Group& group, std::size_t count, float scale, const CodeRange& range) {
  const float inverse = inverse_of(scale);
  Lanes errors{};
  for (std::size_t first = 0; first < count; first += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = group[first + lane];
      const float error = value - code_of(value, inverse, range) * scale;
      errors[lane] += error * error;
    }
  }
  return sum_of(errors);
}

/// Codes that the largest magnitude may get before refinement. Of 4 bits, clipping it a little
/// pays; of either sign, since there is one more negative code.
constexpr std::array kInt8Peaks = {127.0F, 127.4F, 126.0F, 124.5F};
constexpr std::array kInt4Peaks = {7.0F,  7.4F,  6.5F,  8.0F,  8.6F,  9.3F,  6.0F,  10.0F,
                                   -7.0F, -7.4F, -6.5F, -8.0F, -8.6F, -9.3F, -6.0F, -10.0F};

std::uint16_t best_scale(const Group& group, std::size_t count, WeightCodes codes) {
  const CodeRange range = range_of(codes);
  float peak = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(group[i])) throw FormatError("a value is not finite, which codes cannot be");
    peak = std::max(peak, std::fabs(group[i]));
  }
  if (peak == 0.0F) return 0;
  constexpr float kLargestScale = 65504.0F;
  if (peak / range.most > kLargestScale) {
    throw FormatError(fmt::format("a value of {} is too large for codes with an fp16 scale", peak));
  }
  const std::span<const float> peaks = codes == WeightCodes::int8
                                           ? std::span<const float>(kInt8Peaks)
                                           : std::span<const float>(kInt4Peaks);
  std::uint16_t best = 0;
  float least_error = squared_error(group, count, 0.0F, range);
  for (const float code : peaks) {
    const std::uint16_t scale = fp32_to_fp16(refined(group, count, peak / code, range));
    const float error = squared_error(group, count, fp16_to_fp32(scale), range);
    if (error < least_error) {
      least_error = error;
      best = scale;
    }
  }
  return best;
}

/// Calls visit(first input, inputs, index) for every group.
template <typename Visit>
void for_each_group(std::size_t inputs, std::int64_t block, int group, const Visit& visit) {
  std::size_t index = 0;
  const auto block_inputs = static_cast<std::size_t>(block);
  const auto size = static_cast<std::size_t>(group);
  for (std::size_t start = 0; start < inputs; start += block_inputs) {
    const std::size_t block_end = std::min(inputs, start + block_inputs);
    for (std::size_t first = start; first < block_end; first += size) {
      visit(first, std::min(size, block_end - first), index++);
    }
  }
}

/// Gates that decay the state of a recurrence or admit its input.
bool is_recurrent_gate(const MatrixPart& part) {
  constexpr std::array<std::string_view, 4> kGates = {".i_gate", ".f_gate", ".decay", ".strength"};
  return std::any_of(kGates.begin(), kGates.end(),
                     [&](std::string_view name) { return part.parameter.ends_with(name); });
}

}  // namespace

std::map<std::string, std::int64_t> codable_parameters(const ModelParameters& parameters) {
  std::map<std::string, std::int64_t> blocks;
  for (const UnitSpec& unit : parameters.units) {
    // Layers are the units that are numbered; others are looked up, or the head.
    if (unit.name.find('.') == std::string::npos) continue;
    for (const MatrixSpec& matrix : unit.matrices) {
      const bool gates = std::any_of(matrix.parts.begin(), matrix.parts.end(), is_recurrent_gate);
      if (gates || matrix.layout != MatrixLayout::panels) continue;
      for (const MatrixPart& part : matrix.parts) {
        blocks[part.parameter] = matrix.shape.group_block();
      }
    }
  }
  return blocks;
}

void quantize_row(std::span<const float> values, const WeightFormat& format, std::int64_t block,
                  std::span<std::byte> codes, std::span<std::uint16_t> scales) {
  const CodeRange range = range_of(format.codes);
  Group group{};
  for_each_group(values.size(), block, format.group,
                 [&](std::size_t first, std::size_t count, std::size_t index) {
                   group.fill(0.0F);
                   std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), count,
                               group.begin());
                   scales[index] = best_scale(group, count, format.codes);
                   const float inverse = inverse_of(fp16_to_fp32(scales[index]));
                   for (std::size_t i = 0; i < count; ++i) {
                     const auto code = static_cast<std::int8_t>(code_of(group[i], inverse, range));
                     codes[first + i] = static_cast<std::byte>(code);
                   }
                 });
}

void dequantize_row(std::span<const std::byte> codes, std::span<const std::uint16_t> scales,
                    const WeightFormat& format, std::int64_t block, std::span<float> values) {
  for_each_group(codes.size(), block, format.group,
                 [&](std::size_t first, std::size_t count, std::size_t index) {
                   const float scale = fp16_to_fp32(scales[index]);
                   for (std::size_t i = first; i < first + count; ++i) {
                     values[i] = static_cast<float>(static_cast<std::int8_t>(codes[i])) * scale;
                   }
                 });
}

void pack_int4_row(std::span<const std::byte> codes, std::span<std::byte> pairs) {
  const auto bits = [&](std::size_t i) {
    const int code = i < codes.size() ? static_cast<std::int8_t>(codes[i]) : 0;
    return static_cast<unsigned>(code + 8);
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    pairs[i] = static_cast<std::byte>(bits(2 * i) | bits(2 * i + 1) << 4U);
  }
}

void unpack_int4_row(std::span<const std::byte> pairs, std::span<std::byte> codes) {
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const auto pair = static_cast<unsigned>(pairs[i / 2]);
    const unsigned bits = i % 2 == 0 ? pair & 0xFU : pair >> 4U;
    codes[i] = static_cast<std::byte>(static_cast<std::int8_t>(static_cast<int>(bits) - 8));
  }
}

}  // namespace gridmill
