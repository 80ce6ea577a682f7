#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "tokenizer/merge_detail.hpp"

namespace gridmill::tokenizer_detail {

/// Where a stretch of text stands: some tokenizers put a space in front of the whole text only.
enum class Stretch { at_start, within };

/// Text to ids, without the special tokens that a file adds around a text.
class TextEncoder {
 public:
  TextEncoder() = default;
  TextEncoder(const TextEncoder&) = delete;
  TextEncoder& operator=(const TextEncoder&) = delete;
  virtual ~TextEncoder() = default;
  /// @throws FormatError
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text,
                                                    Stretch stretch) const = 0;
  /// Most bytes of a text that one id stands for, white space not counted, which may vanish. 0: no
  /// bound is known, since other text may vanish, too, or unknown characters share one id.
  [[nodiscard]] virtual std::size_t most_bytes_of_an_id() const { return 0; }
};

/// Lets a map of strings be searched by std::string_view.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const {
    return std::hash<std::string_view>{}(text);
  }
};
template <typename Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

/// Tokens that stand for single bytes, spelled `<0x00>` to `<0xFF>`.
using ByteTokens = std::array<TokenId, 256>;
[[nodiscard]] std::string byte_token_name(unsigned byte);
/// The byte that `token` names. Either case of hexadecimal digits will do.
[[nodiscard]] std::optional<char> byte_of_token_name(std::string_view token);

/// Largest id + 1 that a file may use; the largest real vocabularies have about 2^18 tokens.
inline constexpr int kMostTokens = 1 << 21;

}  // namespace gridmill::tokenizer_detail
