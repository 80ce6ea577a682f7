#pragma once

#include <string_view>

namespace gridmill::jinja {

/// A character whose upper or title case has several characters.
struct SpecialCasing {
  char32_t code_point;
  std::string_view upper;
  std::string_view title;
};

/// Null if the simple mapping of Unicode holds.
[[nodiscard]] const SpecialCasing* special_casing_of(char32_t code_point);

}  // namespace gridmill::jinja
