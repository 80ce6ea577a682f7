#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gridmill::tokenizer_detail {

// The byte-level alphabet of GPT-2: each byte has a visible character. Bytes 33..126, 161..172 and
// 174..255 stand for the code point of the same number, the other 68 in ascending order for
// U+0100, U+0101, ...

/// The characters of `bytes`.
[[nodiscard]] std::string to_byte_level(std::string_view bytes);
/// The bytes that `token` spells; nothing if one of its characters is outside the alphabet.
[[nodiscard]] std::optional<std::string> from_byte_level(std::string_view token);

}  // namespace gridmill::tokenizer_detail
