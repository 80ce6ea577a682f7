#include "kernels/reference/coded.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "gridmill/base/dtype.hpp"

namespace gridmill::reference {

namespace {

float scale_at(const std::byte* scales, std::int64_t index) {
  std::uint16_t half = 0;
  std::memcpy(&half, scales + index * kScaleBytes, sizeof half);
  return fp16_to_fp32(half);
}

}  // namespace

RoundedGroup rounded_group(std::span<const float> x) {
  constexpr float kLargestCode = 127.0F;
  RoundedGroup group{.codes = std::vector<int>(x.size(), 0)};
  float largest = 0;
  for (const float value : x) {
    if (!std::isfinite(value)) {
      group.scale = std::numeric_limits<float>::quiet_NaN();
      return group;
    }
    largest = std::max(largest, std::fabs(value));
  }
  // Below, 127 / largest could overflow: such a group is zeros.
  if (largest < 0x1p-100F) return group;
  group.scale = largest / kLargestCode;
  const float inverse = kLargestCode / largest;
  for (std::size_t i = 0; i < x.size(); ++i) {
    group.codes[i] = static_cast<int>(std::nearbyint(x[i] * inverse));
  }
  return group;
}

std::size_t coded_panel_bytes(const MatrixShape& shape) {
  return static_cast<std::size_t>(kPanelOutputs * shape.coded_row_bytes());
}

Lanes coded_product(const MatrixShape& shape, const float* x, const std::byte* panel,
                    std::int64_t first, std::int64_t count) {
  const int size = shape.format.group;
  const std::byte* scales = panel + kPanelOutputs * shape.inputs;
  std::int64_t index = groups_in(first, shape.group_block(), size) * kPanelOutputs;
  Lanes sums{};
  for (std::int64_t begin = first; begin < first + count; begin += size) {
    const std::int64_t inputs = std::min<std::int64_t>(size, first + count - begin);
    const RoundedGroup group = rounded_group({x + begin, static_cast<std::size_t>(inputs)});
    for (std::size_t lane = 0; lane < sums.size(); ++lane, ++index) {
      int sum = 0;  // exact: at most 128 products of magnitude 127 * 128
      for (std::int64_t i = 0; i < inputs; ++i) {
        const auto at = static_cast<std::size_t>((begin + i) * kPanelOutputs) + lane;
        sum += group.codes[static_cast<std::size_t>(i)] * static_cast<std::int8_t>(panel[at]);
      }
      const float scale = group.scale * scale_at(scales, index);
      sums[lane] = std::fma(static_cast<float>(sum), scale, sums[lane]);
    }
  }
  return sums;
}

void pack_coded_panel(const MatrixShape& shape, std::span<const std::byte* const> lanes,
                      std::span<std::byte> panel) {
  std::byte* scales = panel.data() + kPanelOutputs * shape.inputs;
  for (std::int64_t lane = 0; lane < kPanelOutputs; ++lane) {
    const std::byte* row = lanes[static_cast<std::size_t>(lane)];
    if (row == nullptr) continue;
    for (std::int64_t k = 0; k < shape.inputs; ++k)
      panel[static_cast<std::size_t>(k * kPanelOutputs + lane)] = row[k];
    for (std::int64_t group = 0; group < shape.groups(); ++group) {
      std::memcpy(scales + (group * kPanelOutputs + lane) * kScaleBytes,
                  row + shape.inputs + group * kScaleBytes, kScaleBytes);
    }
  }
}

}  // namespace gridmill::reference
