#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "gridmill/base/error.hpp"
#include "tokenizer/unicode_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

int options_of(NormalizationForm form) {
  switch (form) {
    case NormalizationForm::nfc:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    case NormalizationForm::nfd:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    case NormalizationForm::nfkc:
      return UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT;
    case NormalizationForm::nfkd:
      return UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT;
  }
  throw InternalError("unknown normalization form");
}

int combining_class(utf8proc_int32_t code_point) {
  return utf8proc_get_property(code_point)->combining_class;
}

// Canonical ordering. utf8proc_decompose would do it too, but in time quadratic in the length of a
// run of marks.
void order_combining_marks(std::vector<utf8proc_int32_t>& code_points) {
  auto run = code_points.begin();
  while (run != code_points.end()) {
    if (combining_class(*run) == 0) {
      ++run;
      continue;
    }
    const auto end = std::find_if(run, code_points.end(),
                                  [](utf8proc_int32_t c) { return combining_class(c) == 0; });
    std::stable_sort(run, end, [](utf8proc_int32_t a, utf8proc_int32_t b) {
      return combining_class(a) < combining_class(b);
    });
    run = end;
  }
}

void append_normalized(std::string& result, std::string_view stretch, NormalizationForm form) {
  const auto is_ascii = [](char c) { return static_cast<std::uint8_t>(c) < 0x80; };
  if (std::all_of(stretch.begin(), stretch.end(), is_ascii)) {
    result += stretch;  // every form leaves ASCII alone
    return;
  }
  const auto options = static_cast<utf8proc_option_t>(options_of(form));
  // Whole decompositions only, so compose them afterwards.
  const auto decompose_options =
      static_cast<utf8proc_option_t>((options & ~UTF8PROC_COMPOSE) | UTF8PROC_DECOMPOSE);
  std::vector<utf8proc_int32_t> code_points;
  code_points.reserve(stretch.size());
  for (std::size_t i = 0; i < stretch.size();) {
    const Utf8Unit unit = next_utf8(stretch, i);
    std::array<utf8proc_int32_t, 32> parts{};  // the longest decomposition in Unicode has 18
    int boundary_class = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(unit.code_point), parts.data(),
                                parts.size(), decompose_options, &boundary_class);
    if (count < 0 || static_cast<std::size_t>(count) > parts.size()) {
      throw InternalError(std::string("utf8proc_decompose_char: ") + utf8proc_errmsg(count));
    }
    code_points.insert(code_points.end(), parts.begin(), parts.begin() + count);
    i += unit.length;
  }
  order_combining_marks(code_points);
  if ((options & UTF8PROC_COMPOSE) != 0) {
    const utf8proc_ssize_t count = utf8proc_normalize_utf32(
        code_points.data(), static_cast<utf8proc_ssize_t>(code_points.size()), options);
    if (count < 0) {
      throw InternalError(std::string("utf8proc_normalize_utf32: ") + utf8proc_errmsg(count));
    }
    code_points.resize(static_cast<std::size_t>(count));
  }
  for (const utf8proc_int32_t code_point : code_points) {
    append_utf8(result, static_cast<char32_t>(code_point));
  }
}

utf8proc_category_t category_of(char32_t code_point) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code_point));
}

}  // namespace

std::string normalize_unicode(std::string_view text, NormalizationForm form) {
  std::string result;
  result.reserve(text.size());
  std::size_t stretch = 0;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    if (!unit.well_formed) {
      append_normalized(result, text.substr(stretch, i - stretch), form);
      result += text.substr(i, unit.length);
      stretch = i + unit.length;
    }
    i += unit.length;
  }
  append_normalized(result, text.substr(stretch), form);
  return result;
}

bool is_numeric(char32_t code_point) {
  const utf8proc_category_t category = category_of(code_point);
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t code_point) {
  if (code_point < 0x80) {
    return (code_point >= '!' && code_point <= '/') || (code_point >= ':' && code_point <= '@') ||
           (code_point >= '[' && code_point <= '`') || (code_point >= '{' && code_point <= '~');
  }
  const utf8proc_category_t category = category_of(code_point);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_white_space(char32_t code_point) {
  switch (category_of(code_point)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    default:
      return (code_point >= 0x9 && code_point <= 0xD) || code_point == 0x85;
  }
}

bool is_word_character(char32_t code_point) {
  switch (category_of(code_point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      // Circled letters are alphabetic symbols; U+200C and U+200D join.
      return (code_point >= 0x24B6 && code_point <= 0x24E9) || code_point == 0x200C ||
             code_point == 0x200D;
  }
}

std::size_t grapheme_length(std::string_view text, std::size_t position) {
  Utf8Unit unit = next_utf8(text, position);
  std::size_t end = position + unit.length;
  utf8proc_int32_t state = 0;
  while (unit.well_formed && end < text.size()) {
    const Utf8Unit next = next_utf8(text, end);
    if (!next.well_formed ||
        utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(unit.code_point),
                                         static_cast<utf8proc_int32_t>(next.code_point), &state)) {
      break;
    }
    end += next.length;
    unit = next;
  }
  return end - position;
}

}  // namespace gridmill::tokenizer_detail
