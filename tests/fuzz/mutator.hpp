#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace gridmill::fuzz {

using Bytes = std::vector<std::uint8_t>;
/// 0 <= result < bound; bound > 0.
using Dice = std::function<std::size_t(std::size_t bound)>;

/// Equal seeds give equal numbers.
inline Dice dice_of(unsigned seed) {
  return [state = static_cast<std::uint64_t>(seed)](std::size_t bound) mutable {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::size_t>((state >> 33) % bound);
  };
}

template <typename Values>
const auto& one_of(const Values& values, const Dice& dice) {
  return values[dice(values.size())];
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// What a custom mutator returns: `changed` in place of the input, cut to the room that there is.
inline std::size_t hand_over(std::string_view changed, std::uint8_t* data, std::size_t max_size) {
  const std::size_t size = std::min(changed.size(), max_size);
  std::copy_n(changed.begin(), size, data);
  return size;
}

/// Names of files that nobody named: readers may not open them.
inline const std::vector<std::string>& paths_elsewhere() {
  static const std::vector<std::string> kPaths = {"/etc/passwd", "../outside/secret", "..",
                                                  "/dev/zero", "/proc/self/environ"};
  return kPaths;
}

/// One change of plain bytes.
inline void change_bytes(std::string& bytes, const Dice& dice) {
  const std::size_t at = dice(bytes.size() + 1);
  switch (dice(4)) {
    case 0:
      if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << dice(8)));
      break;
    case 1:
      bytes.insert(at, 1, static_cast<char>(dice(256)));
      break;
    case 2:
      bytes.erase(at, dice(16));
      break;
    default:
      bytes.resize(at);
      break;
  }
}

}  // namespace gridmill::fuzz
