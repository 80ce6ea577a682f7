#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/bf16_rounding.hpp"
#include "kernels/cpu/code_layout.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"

namespace gridmill::cpu {

namespace {

/// 32-bit words of a lane - an fp32 number, or two of bf16 - that are turned round at a time:
/// 48 lanes x 32 words x 4 bytes = 6 KiB stay in L1.
constexpr std::int64_t kTileWords = 32;
using LaneWords = std::array<std::uint32_t, kTileWords>;

std::int64_t padded_inputs(std::int64_t inputs, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? (inputs + 1) / 2 * 2 : inputs;
}

std::int64_t inputs_in_tile(DType compute_dtype) {
  return compute_dtype == DType::bf16 ? 2 * kTileWords : kTileWords;
}

/// Element `index` of a row, which may be unaligned.
template <class Element>
Element element(const std::byte* row, std::size_t index) {
  Element value;
  std::memcpy(&value, row + index * sizeof value, sizeof value);
  return value;
}

/// `count` elements of a row in fp32.
void words_of_fp32(const std::byte* from, DType dtype, std::size_t count, LaneWords& words) {
  const auto set = [&words](std::size_t i, float value) {
    words[i] = std::bit_cast<std::uint32_t>(value);
  };
  if (dtype == DType::fp32) {
    for (std::size_t i = 0; i < count; ++i) set(i, element<float>(from, i));
  } else if (dtype == DType::bf16) {
    for (std::size_t i = 0; i < count; ++i) set(i, bf16_to_fp32(element<Bf16>(from, i)));
  } else {
    for (std::size_t i = 0; i < count; ++i) set(i, fp16_to_fp32(element<std::uint16_t>(from, i)));
  }
}

/// `count` elements of a row in bf16, in pairs; of an odd last one the other is 0.
void words_of_bf16(const std::byte* from, DType dtype, std::size_t count, LaneWords& words) {
  alignas(64) std::array<Bf16, 2 * kTileWords> out;
  if (dtype == DType::bf16) {  // what most checkpoints hold: no way through fp32
    for (std::size_t i = 0; i < count; ++i) out[i] = flushed_bf16(element<Bf16>(from, i));
  } else if (dtype == DType::fp32) {
    for (std::size_t i = 0; i < count; ++i) out[i] = rounded_bf16(element<float>(from, i));
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = rounded_bf16(fp16_to_fp32(element<std::uint16_t>(from, i)));
    }
  }
  if (count % 2 != 0) out[count] = 0;
  std::memcpy(words.data(), out.data(), sizeof words);
}

/// Four words of four lanes turned round: out[word][lane] = from[lane][word]. Vectors that every
/// target has (GCC's vector extensions, SSE2 on x86-64).
void turn_4x4(const std::uint32_t* from, std::uint32_t* out) {
  using Words = std::uint32_t __attribute__((vector_size(16)));
  Words lane[4];
  for (int i = 0; i < 4; ++i) std::memcpy(&lane[i], from + i * kTileWords, sizeof(Words));
  const Words low01 = __builtin_shufflevector(lane[0], lane[1], 0, 4, 1, 5);
  const Words low23 = __builtin_shufflevector(lane[2], lane[3], 0, 4, 1, 5);
  const Words high01 = __builtin_shufflevector(lane[0], lane[1], 2, 6, 3, 7);
  const Words high23 = __builtin_shufflevector(lane[2], lane[3], 2, 6, 3, 7);
  const Words word[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                         __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                         __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                         __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int i = 0; i < 4; ++i) std::memcpy(out + i * kPanelOutputs, &word[i], sizeof(Words));
}

/// The first `count` words of every lane into a panel: [word][48].
void pack_tile(const std::array<LaneWords, kPanelOutputs>& tile, std::int64_t count,
               std::byte* panel) {
  auto* out = reinterpret_cast<std::uint32_t*>(panel);
  std::int64_t word = 0;
  for (; word + 4 <= count; word += 4) {
    for (std::size_t lane = 0; lane < kPanelOutputs; lane += 4) {
      turn_4x4(tile[lane].data() + word,
               out + static_cast<std::size_t>(word) * kPanelOutputs + lane);
    }
  }
  for (; word < count; ++word) {
    for (std::size_t lane = 0; lane < kPanelOutputs; ++lane) {
      out[static_cast<std::size_t>(word) * kPanelOutputs + lane] =
          tile[lane][static_cast<std::size_t>(word)];
    }
  }
}

/// Codes [first, first + count) of a lane as words of a step: what lies behind them is 0.
void words_of_step(const std::byte* lane, std::int64_t first, std::int64_t count,
                   std::array<std::uint32_t, 2>& words) {
  words = {0, 0};
  if (lane != nullptr) std::memcpy(words.data(), lane + first, static_cast<std::size_t>(count));
}

/// One word of a panel (code_layout.hpp).
std::uint32_t panel_word(const std::array<std::uint32_t, 2>& words, WeightCodes codes) {
  if (codes == WeightCodes::int8) return words[0] ^ 0x80808080U;
  return ((words[0] & 0x0F0F0F0FU) ^ 0x08080808U) | ((words[1] & 0x0F0F0F0FU) ^ 0x08080808U) << 4U;
}

void pack_coded_panel(const MatrixShape& shape, std::span<const std::byte* const> lanes,
                      std::byte* out) {
  const std::int64_t block = shape.group_block();
  const std::int64_t step = step_inputs(shape.format.codes);
  std::int64_t group = 0;
  std::array<std::uint32_t, 2> words{};
  for (std::int64_t chain = 0; chain < shape.inputs; chain += block) {
    const std::int64_t chain_end = std::min(shape.inputs, chain + block);
    for (std::int64_t begin = chain; begin < chain_end; begin += shape.format.group, ++group) {
      const std::int64_t end = std::min<std::int64_t>(chain_end, begin + shape.format.group);
      for (std::int64_t first = begin; first < end; first += step) {
        for (const std::byte* lane : lanes) {
          words_of_step(lane, first, std::min(step, end - first), words);
          const std::uint32_t word = panel_word(words, shape.format.codes);
          std::memcpy(out, &word, sizeof word);
          out += sizeof word;
        }
      }
      for (const std::byte* lane : lanes) {
        std::uint16_t scale = 0;
        if (lane != nullptr) {
          std::memcpy(&scale, lane + shape.inputs + group * kScaleBytes, sizeof scale);
        }
        std::memcpy(out, &scale, sizeof scale);
        out += sizeof scale;
      }
    }
  }
}

}  // namespace

bool CpuBackend::holds(const WeightFormat& format) const {
  return int8_products_ || !format.coded();
}

std::size_t CpuBackend::panel_bytes(const MatrixShape& shape, MatrixLayout layout) const {
  if (shape.format.coded()) {
    return static_cast<std::size_t>(coded_panel_bytes(
        shape.inputs, shape.group_block(), shape.format.group, step_inputs(shape.format.codes)));
  }
  const std::int64_t elements = layout == MatrixLayout::rows
                                    ? shape.inputs
                                    : padded_inputs(shape.inputs, dtype_) * kPanelOutputs;
  return static_cast<std::size_t>(elements) * size_of(dtype_);
}

std::size_t CpuBackend::packed_bytes(std::int64_t rows, std::int64_t inputs) const {
  return static_cast<std::size_t>(rows * padded_inputs(inputs, dtype_)) * size_of(dtype_);
}

void CpuBackend::pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                            std::span<const std::byte* const> lanes,
                            std::span<std::byte> panel) const {
  const std::size_t outputs = layout == MatrixLayout::rows ? 1 : kPanelOutputs;
  GRIDMILL_ASSERT(lanes.size() == outputs, "a panel has " + std::to_string(outputs) + " lanes");
  GRIDMILL_ASSERT(panel.size() == panel_bytes(shape, layout), "wrong size for a panel");
  if (shape.format.coded()) {
    GRIDMILL_ASSERT(layout == MatrixLayout::panels, "a table of rows cannot hold codes");
    return pack_coded_panel(shape, lanes, panel.data());
  }
  const std::int64_t step = inputs_in_tile(dtype_);
  alignas(64) std::array<LaneWords, kPanelOutputs> tile;
  for (std::int64_t first = 0; first < shape.inputs; first += step) {
    const std::int64_t count = std::min(step, shape.inputs - first);
    for (std::size_t lane = 0; lane < outputs; ++lane) {
      if (lanes[lane] == nullptr) {
        tile[lane].fill(0);
        continue;
      }
      const std::byte* from = lanes[lane] + static_cast<std::size_t>(first) * size_of(dtype);
      const auto used = static_cast<std::size_t>(count);
      dtype_ == DType::bf16 ? words_of_bf16(from, dtype, used, tile[lane])
                            : words_of_fp32(from, dtype, used, tile[lane]);
    }
    // A tile of bf16 has whole pairs before it.
    std::byte* target = panel.data() + static_cast<std::size_t>(first) * outputs * size_of(dtype_);
    if (layout == MatrixLayout::panels) {
      pack_tile(tile, padded_inputs(count, dtype_) * kTileWords / step, target);
    } else {
      std::memcpy(target, tile[0].data(), static_cast<std::size_t>(count) * size_of(dtype_));
    }
  }
}

}  // namespace gridmill::cpu
