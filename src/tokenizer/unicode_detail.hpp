#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gridmill::tokenizer_detail {

enum class NormalizationForm { nfc, nfd, nfkc, nfkd };

/// Normalises the well-formed stretches of `text`; ill-formed bytes stay where they are.
/// O(n log n), also for long runs of combining marks.
[[nodiscard]] std::string normalize_unicode(std::string_view text, NormalizationForm form);

/// General category N (Nd, Nl, No).
[[nodiscard]] bool is_numeric(char32_t code_point);
/// ASCII punctuation, symbols included, and general category P.
[[nodiscard]] bool is_punctuation(char32_t code_point);
/// White_Space property.
[[nodiscard]] bool is_white_space(char32_t code_point);
/// Letters, marks, digits, letter numbers, connectors and joiners: `\w` of the reference library.
[[nodiscard]] bool is_word_character(char32_t code_point);

/// Bytes of the extended grapheme cluster at `position`; an ill-formed part is one of its own.
[[nodiscard]] std::size_t grapheme_length(std::string_view text, std::size_t position);

}  // namespace gridmill::tokenizer_detail
