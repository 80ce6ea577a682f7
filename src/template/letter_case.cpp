#include <utf8proc.h>

#include <algorithm>

#include "template/special_casing.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

namespace {

utf8proc_category_t category_of(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_cased(char32_t c) {
  const utf8proc_category_t category = category_of(c);
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

/// Case_Ignorable, by general category and the word-internal punctuation.
bool is_case_ignorable(char32_t c) {
  switch (category_of(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2018 || c == 0x2019;
  }
}

constexpr char32_t kCapitalSigma = 0x3A3;
constexpr char32_t kSmallSigma = 0x3C3;
constexpr char32_t kFinalSigma = 0x3C2;
constexpr char32_t kDottedCapitalI = 0x130;

/// A capital sigma becomes final at the end of a word (Unicode, table 3-17, Final_Sigma).
bool is_final_sigma(bool cased_before, std::string_view after) {
  if (!cased_before) return false;
  for (std::size_t at = 0; at < after.size();) {
    const char32_t c = next_character(after, at);
    if (!is_case_ignorable(c)) return !is_cased(c);
  }
  return true;
}

void append_upper(std::string& text, char32_t c) {
  if (const SpecialCasing* special = special_casing_of(c)) {
    text += special->upper;
  } else {
    append_character(text,
                     static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))));
  }
}

void append_title(std::string& text, char32_t c) {
  if (const SpecialCasing* special = special_casing_of(c)) {
    text += special->title;
  } else {
    append_character(text,
                     static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c))));
  }
}

/// Lower case of a text character by character, with what the final sigma needs to remember.
class Lowering {
 public:
  void append(std::string& text, char32_t c, std::string_view after) {
    if (c == kDottedCapitalI) {
      text += "i\xCC\x87";
    } else if (c == kCapitalSigma) {
      append_character(text, is_final_sigma(cased_before_, after) ? kFinalSigma : kSmallSigma);
    } else {
      append_character(text,
                       static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
    pass(c);
  }
  void pass(char32_t c) {
    if (!is_case_ignorable(c)) cased_before_ = is_cased(c);
  }

 private:
  bool cased_before_ = false;
};

bool has_case(std::string_view text, utf8proc_category_t wanted, utf8proc_category_t other) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    const utf8proc_category_t category = category_of(next_character(text, at));
    if (category == other || category == UTF8PROC_CATEGORY_LT) return false;
    found = found || category == wanted;
  }
  return found;
}

}  // namespace

std::string to_upper(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) append_upper(result, next_character(text, at));
  return result;
}

std::string to_lower(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  Lowering lowering;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    lowering.append(result, c, text.substr(at));
  }
  return result;
}

std::string capitalize(std::string_view text) {
  std::string result;
  Lowering lowering;
  for (std::size_t at = 0; at < text.size();) {
    const bool first = at == 0;
    const char32_t c = next_character(text, at);
    if (first) {
      append_title(result, c);
      lowering.pass(c);
    } else {
      lowering.append(result, c, text.substr(at));
    }
  }
  return result;
}

std::string title_method(std::string_view text) {
  std::string result;
  Lowering lowering;
  bool in_word = false;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (in_word) {
      lowering.append(result, c, text.substr(at));
    } else {
      append_title(result, c);
      lowering.pass(c);
    }
    in_word = is_cased(c);
  }
  return result;
}

std::string title_filter(std::string_view text) {
  const auto separates = [](char32_t c) {
    return is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
  };
  std::string result;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t at = begin;
    const bool separator = separates(next_character(text, at));
    std::size_t end = at;
    while (end < text.size()) {
      std::size_t next = end;
      if (separates(next_character(text, next)) != separator) break;
      end = next;
    }
    result += to_upper(text.substr(begin, at - begin));
    result += to_lower(text.substr(at, end - at));
    begin = end;
  }
  return result;
}

bool is_upper(std::string_view text) {
  return has_case(text, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL);
}

bool is_lower(std::string_view text) {
  return has_case(text, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LU);
}

bool is_printable(char32_t c) {
  if (c == ' ') return true;
  switch (category_of(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

}  // namespace gridmill::jinja
