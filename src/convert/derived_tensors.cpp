#include "convert/derived_tensors.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr std::int64_t kGroup = 32;       ///< values that share a scale
constexpr std::int64_t kGroupBytes = 16;  ///< two values a byte

Extents stacked_shape(const std::vector<const ForeignTensor*>& parts) {
  Extents shape = parts.front()->shape();
  shape.front() *= static_cast<std::int64_t>(parts.size());
  return shape;
}

/// [..., groups, 16] bytes are [..., groups * 32] values; with the axes of the scales, so are
/// [..., groups * 16].
Extents expanded_shape(const ForeignTensor& blocks, const ForeignTensor& scales) {
  Extents groups = blocks.shape();
  const bool joined = groups.size() == scales.shape().size();
  if (groups.size() < 2 || (joined ? groups.back() % kGroupBytes : groups.back() - kGroupBytes)) {
    throw FormatError(fmt::format("{}: tensor {} is {}, expected [..., groups{}{}]", blocks.file(),
                                  blocks.name(), to_text(blocks.shape()), joined ? " * " : ", ",
                                  kGroupBytes));
  }
  if (joined) {
    groups.back() /= kGroupBytes;
  } else {
    groups.pop_back();
  }
  if (scales.shape() != groups) {
    throw FormatError(fmt::format("{}: tensor {} is {}, expected {} beside {}", scales.file(),
                                  scales.name(), to_text(scales.shape()), to_text(groups),
                                  blocks.name()));
  }
  for (const ForeignTensor* tensor : {&blocks, &scales}) {
    if (tensor->type() != "U8") {
      throw FormatError(fmt::format("{}: tensor {} has elements of type {}, expected U8",
                                    tensor->file(), tensor->name(), tensor->type()));
    }
  }
  groups.back() *= kGroup;
  return groups;
}

}  // namespace

StackedTensor::StackedTensor(std::string name, std::vector<const ForeignTensor*> parts)
    : ForeignTensor(std::move(name), parts.front()->file(), stacked_shape(parts),
                    parts.front()->type()),
      parts_(std::move(parts)),
      part_elements_(element_count(parts_.front()->shape())) {}

bool StackedTensor::floating() const {
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const auto* part) { return part->floating(); });
}

DType StackedTensor::stored_as() const {
  const bool bf16 = std::all_of(parts_.begin(), parts_.end(),
                                [](const auto* part) { return part->stored_as() == DType::bf16; });
  return bf16 ? DType::bf16 : DType::fp32;
}

void StackedTensor::read(std::int64_t first, std::span<float> out) const {
  while (!out.empty()) {
    const std::int64_t part = first / part_elements_;
    const std::int64_t inside = first % part_elements_;
    const auto count = std::min(out.size(), static_cast<std::size_t>(part_elements_ - inside));
    parts_.at(static_cast<std::size_t>(part))->read(inside, out.first(count));
    out = out.subspan(count);
    first += static_cast<std::int64_t>(count);
  }
}

Mxfp4Tensor::Mxfp4Tensor(std::string name, const ForeignTensor& blocks, const ForeignTensor& scales)
    : ForeignTensor(std::move(name), blocks.file(), expanded_shape(blocks, scales), "MXFP4"),
      blocks_(blocks),
      scales_(scales) {}

void Mxfp4Tensor::read(std::int64_t first, std::span<float> out) const {
  constexpr std::array<float, 8> kMagnitudes = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  constexpr int kScaleBias = 127;
  constexpr int kNanScale = 255;
  if (out.empty()) return;
  const auto count = static_cast<std::int64_t>(out.size());
  const std::int64_t first_group = first / kGroup;
  const std::int64_t groups = (first + count - 1) / kGroup - first_group + 1;
  // Bytes are read as numbers, which fp32 holds exactly.
  std::vector<float> bytes(static_cast<std::size_t>(groups * kGroupBytes));
  std::vector<float> scales(static_cast<std::size_t>(groups));
  blocks_.read(first_group * kGroupBytes, bytes);
  scales_.read(first_group, scales);
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t at = first + i - first_group * kGroup;
    const auto scale = static_cast<int>(scales[static_cast<std::size_t>(at / kGroup)]);
    if (scale == kNanScale) {
      throw FormatError(fmt::format("{}: tensor {} holds a scale that is no number", scales_.file(),
                                    scales_.name()));
    }
    const auto byte = static_cast<unsigned>(bytes[static_cast<std::size_t>(at / 2)]);
    const unsigned code = at % 2 == 0 ? byte & 0xFU : byte >> 4U;
    const float magnitude = kMagnitudes[code & 7U];
    const float value = (code & 8U) != 0 ? -magnitude : magnitude;
    out[static_cast<std::size_t>(i)] = std::ldexp(value, scale - kScaleBias);
  }
}

}  // namespace gridmill::convert_detail
