#pragma once

#include <cstdint>
#include <string_view>

namespace gridmill {

/// Stored form of the numbers of a matrix.
enum class WeightCodes : std::uint8_t {
  none,  ///< values: in a checkpoint fp32 or bf16, in memory the compute dtype
  int8,  ///< codes -127 to 127 and a scale a group
  int4,  ///< codes -8 to 7 and a scale a group
};

/// How a matrix is kept: value = code * scale, with one fp16 scale for each output and group of
/// inputs.
struct WeightFormat {
  WeightCodes codes = WeightCodes::none;
  int group = 0;  ///< inputs that share a scale: 32, 64 or 128; 0 without codes
  [[nodiscard]] constexpr bool coded() const { return codes != WeightCodes::none; }
  friend bool operator==(const WeightFormat&, const WeightFormat&) = default;
};

/// The groups that `gridmill convert` makes. With larger ones the loss on text is above that of
/// Q8_0 and Q4_0 (docs/performance/codes.md).
[[nodiscard]] constexpr WeightFormat default_format(WeightCodes codes) {
  return {codes, codes == WeightCodes::none ? 0 : 32};
}

/// Bytes of a stored scale.
inline constexpr std::int64_t kScaleBytes = 2;

/// "int8" or "int4".
[[nodiscard]] constexpr std::string_view name_of(WeightCodes codes) {
  return codes == WeightCodes::int8 ? "int8" : codes == WeightCodes::int4 ? "int4" : "none";
}

/// Bytes of a stored row of codes: two codes of 4 bits share one.
[[nodiscard]] constexpr std::int64_t code_bytes(WeightCodes codes, std::int64_t inputs) {
  return codes == WeightCodes::int4 ? (inputs + 1) / 2 : inputs;
}

/// Groups of `inputs` inputs: they restart at every block of `block` inputs, so that the last one
/// of a block may be shorter.
[[nodiscard]] constexpr std::int64_t groups_in(std::int64_t inputs, std::int64_t block, int group) {
  if (inputs <= 0) return 0;
  return inputs / block * ((block + group - 1) / group) + (inputs % block + group - 1) / group;
}

}  // namespace gridmill
