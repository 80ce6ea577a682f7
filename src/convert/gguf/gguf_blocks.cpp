#include "convert/gguf/gguf_blocks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

// In the formulas d and m are the block's fp16 scale and minimum, q a code. A "super-block" has 256
// values in smaller blocks with small integer scales.
namespace gridmill::convert_detail {

namespace {

constexpr int kBlock = 32;
constexpr int kSuper = 256;

std::uint16_t u16_at(const std::uint8_t* bytes) {
  return static_cast<std::uint16_t>(bytes[0] | bytes[1] << 8);
}
float half_at(const std::uint8_t* bytes) { return fp16_to_fp32(u16_at(bytes)); }
std::uint32_t u32_at(const std::uint8_t* bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
float signed_at(const std::uint8_t* byte) {
  return static_cast<float>(static_cast<std::int8_t>(*byte));
}
int low(std::uint8_t byte) { return byte & 0xF; }
int high(std::uint8_t byte) { return byte >> 4; }

void decode_f32(const std::uint8_t* block, float* out) { std::memcpy(out, block, sizeof *out); }
void decode_f16(const std::uint8_t* block, float* out) { *out = half_at(block); }
void decode_bf16(const std::uint8_t* block, float* out) { *out = bf16_to_fp32(u16_at(block)); }
void decode_f64(const std::uint8_t* block, float* out) {
  double value = 0;
  std::memcpy(&value, block, sizeof value);
  *out = static_cast<float>(value);
}

/// The codes of 32 values in 16 bytes, those of the first half in the lower nibbles: out[i] becomes
/// value(nibble of i, i).
template <typename Value>
void decode_nibbles(const std::uint8_t* codes, float* out, Value value) {
  constexpr int kHalf = kBlock / 2;
  for (int i = 0; i < kHalf; ++i) {
    out[i] = value(low(codes[i]), i);
    out[i + kHalf] = value(high(codes[i]), i + kHalf);
  }
}

/// Q4_0: d, 16 bytes; value = d (q - 8), first halves in the lower nibbles.
void decode_q4_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  decode_nibbles(block + 2, out, [=](int code, int) { return d * static_cast<float>(code - 8); });
}

/// Q4_1: d, m, 16 bytes; value = d q + m.
void decode_q4_1(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  decode_nibbles(block + 4, out, [=](int code, int) { return d * static_cast<float>(code) + m; });
}

/// Fifth bits of Q5_0 and Q5_1: bit i belongs to value i.
int fifth(std::uint32_t bits, int i) { return static_cast<int>((bits >> i) & 1U) << 4; }

/// Q5_0: d, 4 bytes of fifth bits, 16 bytes; value = d (q - 16).
void decode_q5_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  const std::uint32_t bits = u32_at(block + 2);
  decode_nibbles(block + 6, out, [=](int code, int i) {
    return d * static_cast<float>((code | fifth(bits, i)) - 16);
  });
}

/// Q5_1: d, m, 4 bytes of fifth bits, 16 bytes; value = d q + m.
void decode_q5_1(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  const std::uint32_t bits = u32_at(block + 4);
  decode_nibbles(block + 8, out, [=](int code, int i) {
    return d * static_cast<float>(code | fifth(bits, i)) + m;
  });
}

/// Q8_0: d, 32 int8; value = q d.
void decode_q8_0(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < kBlock; ++i) out[i] = signed_at(block + 2 + i) * d;
}

/// Q2_K: 16 bytes (scale | minimum << 4) for 16 values each, 64 bytes of codes, d, m.
/// value = (d scale) q - (m minimum).
void decode_q2_k(const std::uint8_t* block, float* out) {
  const float d = half_at(block + 80);
  const float m = half_at(block + 82);
  for (int i = 0; i < kSuper; ++i) {
    const std::uint8_t scales = block[i / 16];
    const int code = block[16 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    out[i] = d * static_cast<float>(low(scales)) * static_cast<float>(code) -
             m * static_cast<float>(high(scales));
  }
}

/// Q3_K: 32 bytes of third bits (0: less 4), 64 bytes of codes, 12 bytes of 6-bit scales, d.
/// value = d (scale - 32) (q - 4).
void decode_q3_k(const std::uint8_t* block, float* out) {
  const float d = half_at(block + 108);
  const std::uint8_t* packed = block + 96;
  for (int i = 0; i < kSuper; ++i) {
    const int j = i / 16;  // scale: four lower bits in bytes 0 to 7, two upper ones in 8 to 11
    const int scale = (packed[j % 8] >> (j / 8 * 4) & 0xF) | (packed[8 + j % 4] >> (j / 4 * 2) & 3)
                                                                 << 4;
    const int two = block[32 + i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const int third = block[i % 32] >> (i / 32) & 1;
    out[i] = d * static_cast<float>(scale - 32) * static_cast<float>(two - (third == 0 ? 4 : 0));
  }
}

/// Scale and minimum j of the 12 bytes of Q4_K and Q5_K: six bits each; the first four of both lie
/// in the lower bits of bytes 0 to 7, the others in bytes 8 to 11 and the upper bits of the former.
std::pair<int, int> scale_and_minimum(const std::uint8_t* packed, int j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {low(packed[j + 4]) | (packed[j - 4] >> 6) << 4, high(packed[j + 4]) | (packed[j] >> 6)
                                                                                    << 4};
}

/// Q4_K and Q5_K: d, m, 12 bytes of scales and minima for 32 values each; of the codes 64 values
/// lie in 32 bytes, the first half in the lower nibbles. value = (d scale) q - (m minimum), where q
/// is code(nibble, number of the 32 values, value among them).
template <typename Code>
void decode_with_minima(const std::uint8_t* block, const std::uint8_t* codes, float* out,
                        Code code) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int j = 0; j < kSuper / kBlock; ++j) {
    const auto [scale, minimum] = scale_and_minimum(block + 4, j);
    const float step = d * static_cast<float>(scale);
    const float less = m * static_cast<float>(minimum);
    for (int i = 0; i < kBlock; ++i) {
      const std::uint8_t byte = codes[j / 2 * kBlock + i];
      const int nibble = j % 2 == 0 ? low(byte) : high(byte);
      out[j * kBlock + i] = step * static_cast<float>(code(nibble, j, i)) - less;
    }
  }
}

/// Q4_K: 16 bytes of scales, then 128 bytes of codes.
void decode_q4_k(const std::uint8_t* block, float* out) {
  decode_with_minima(block, block + 16, out, [](int nibble, int, int) { return nibble; });
}

/// Q5_K: 32 bytes of fifth bits between scales and codes: bit j of byte i.
void decode_q5_k(const std::uint8_t* block, float* out) {
  decode_with_minima(block, block + 48, out, [block](int nibble, int j, int i) {
    return nibble | (block[16 + i] >> j & 1) << 4;
  });
}

/// Q6_K: 128 bytes of lower nibbles, 64 bytes of two upper bits, 16 int8 scales for 16 values each,
/// d. value = (d scale) (q - 32). Of 128 values, numbers 0-31 and 64-95 lie in lower and upper
/// nibbles of the first 32 bytes, 32-63 and 96-127 in those of the second.
void decode_q6_k(const std::uint8_t* block, float* out) {
  const float d = half_at(block + 208);
  for (int i = 0; i < kSuper; ++i) {
    const int half = i / 128;
    const int quarter = i % 128 / 32;
    const std::uint8_t byte = block[half * 64 + quarter % 2 * 32 + i % 32];
    const int upper = block[128 + half * 32 + i % 32] >> (quarter * 2) & 3;
    const int code = (quarter < 2 ? low(byte) : high(byte)) | upper << 4;
    out[i] = d * signed_at(block + 192 + i / 16) * static_cast<float>(code - 32);
  }
}

/// Values of the codes of IQ4_NL and IQ4_XS.
constexpr std::array<float, 16> kNonLinear = {-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};

/// IQ4_NL: d, 16 bytes; value = d table[q].
void decode_iq4_nl(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  decode_nibbles(block + 2, out,
                 [=](int code, int) { return d * kNonLinear[static_cast<std::size_t>(code)]; });
}

/// IQ4_XS: d, 2 bytes of upper and 4 of lower bits of eight 6-bit scales, 128 bytes of codes.
/// value = d (scale - 32) table[q].
void decode_iq4_xs(const std::uint8_t* block, float* out) {
  const float d = half_at(block);
  const int upper = u16_at(block + 2);
  const std::uint8_t* codes = block + 8;
  for (int j = 0; j < kSuper / kBlock; ++j, codes += kBlock / 2, out += kBlock) {
    const std::uint8_t pair = block[4 + j / 2];
    const int scale = (j % 2 == 0 ? low(pair) : high(pair)) | (upper >> (2 * j) & 3) << 4;
    const float step = d * static_cast<float>(scale - 32);
    decode_nibbles(codes, out, [=](int code, int) {
      return step * kNonLinear[static_cast<std::size_t>(code)];
    });
  }
}

/// MXFP4: 2^(e - 127) in a byte, 16 bytes; value = E2M1[q] 2^(e - 127). Values are exact.
void decode_mxfp4(const std::uint8_t* block, float* out) {
  constexpr std::array<float, 8> kMagnitudes = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  constexpr int kScaleBias = 127;
  decode_nibbles(block + 1, out, [&](int code, int) {
    const float magnitude = std::ldexp(kMagnitudes[static_cast<std::size_t>(code & 7)],
                                       static_cast<int>(block[0]) - kScaleBias);
    return (code & 8) != 0 ? -magnitude : magnitude;
  });
}

constexpr std::array kFormats = {
    GgufFormat{0, "F32", 1, 4, decode_f32, DType::fp32},
    GgufFormat{1, "F16", 1, 2, decode_f16, DType::fp32},
    GgufFormat{28, "F64", 1, 8, decode_f64, DType::fp32},
    GgufFormat{30, "BF16", 1, 2, decode_bf16, DType::bf16},
    GgufFormat{2, "Q4_0", 32, 18, decode_q4_0},
    GgufFormat{3, "Q4_1", 32, 20, decode_q4_1},
    GgufFormat{6, "Q5_0", 32, 22, decode_q5_0},
    GgufFormat{7, "Q5_1", 32, 24, decode_q5_1},
    GgufFormat{8, "Q8_0", 32, 34, decode_q8_0},
    GgufFormat{10, "Q2_K", 256, 84, decode_q2_k},
    GgufFormat{11, "Q3_K", 256, 110, decode_q3_k},
    GgufFormat{12, "Q4_K", 256, 144, decode_q4_k},
    GgufFormat{13, "Q5_K", 256, 176, decode_q5_k},
    GgufFormat{14, "Q6_K", 256, 210, decode_q6_k},
    GgufFormat{20, "IQ4_NL", 32, 18, decode_iq4_nl},
    GgufFormat{23, "IQ4_XS", 256, 136, decode_iq4_xs},
    GgufFormat{39, "MXFP4", 32, 17, decode_mxfp4},
};

/// Types that are named, but not read.
constexpr std::array<std::pair<std::uint32_t, std::string_view>, 16> kOthers = {{
    {9, "Q8_1"},
    {15, "Q8_K"},
    {16, "IQ2_XXS"},
    {17, "IQ2_XS"},
    {18, "IQ3_XXS"},
    {19, "IQ1_S"},
    {21, "IQ3_S"},
    {22, "IQ2_S"},
    {24, "I8"},
    {25, "I16"},
    {26, "I32"},
    {27, "I64"},
    {29, "IQ1_M"},
    {34, "TQ1_0"},
    {35, "TQ2_0"},
    {40, "NVFP4"},
}};

}  // namespace

const GgufFormat& gguf_format(std::uint32_t type, const std::string& where) {
  const auto* found = std::find_if(kFormats.begin(), kFormats.end(),
                                   [type](const GgufFormat& one) { return one.type == type; });
  if (found != kFormats.end()) return *found;
  std::string name = fmt::format("number {}", type);
  for (const auto& [other, text] : kOthers) {
    if (other == type) name = text;
  }
  std::string list;
  for (const GgufFormat& one : kFormats) {
    list += (list.empty() ? "" : ", ") + std::string(one.name);
  }
  throw FormatError(
      fmt::format("{} has type {}, which is unsupported; gridmill reads {}", where, name, list));
}

GgufTensor::GgufTensor(const GgufFile& file, const GgufEntry& entry)
    : ForeignTensor(entry.name, file.path, entry.shape,
                    std::string(gguf_format(entry.type, entry.name).name)),
      format_(gguf_format(entry.type, entry.name)),
      file_(file.file),
      offset_(entry.offset) {}

void GgufTensor::read(std::int64_t first, std::span<float> out) const {
  constexpr std::int64_t kBlocksAtOnce = 4096;
  std::array<float, kSuper> values{};
  std::vector<std::uint8_t> bytes;
  const auto count = static_cast<std::int64_t>(out.size());
  const std::int64_t width = format_.values;
  const std::int64_t end_block = (first + count + width - 1) / width;
  for (std::int64_t start = first / width; start < end_block; start += kBlocksAtOnce) {
    const std::int64_t blocks = std::min(kBlocksAtOnce, end_block - start);
    bytes.resize(static_cast<std::size_t>(blocks) * format_.bytes);
    read_exactly(*file_, offset_ + static_cast<std::uint64_t>(start) * format_.bytes,
                 std::as_writable_bytes(std::span(bytes)), file());
    for (std::int64_t block = 0; block < blocks; ++block) {
      format_.decode(bytes.data() + static_cast<std::uint64_t>(block) * format_.bytes,
                     values.data());
      const std::int64_t at = (start + block) * width;  // of the block's first value
      const std::int64_t from = std::max(first, at);
      const std::int64_t to = std::min(first + count, at + width);
      for (std::int64_t i = from; i < to; ++i) {
        const float value = values[static_cast<std::size_t>(i - at)];
        if (width > 1 && !std::isfinite(value)) {
          throw FormatError(
              fmt::format("{}: tensor {} holds a scale that is no finite number, in "
                          "block {}",
                          file(), name(), start + block));
        }
        out[static_cast<std::size_t>(i - first)] = value;
      }
    }
  }
}

}  // namespace gridmill::convert_detail
