#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "template/budget.hpp"
#include "template/unicode_text.hpp"

namespace gridmill::jinja {

/// str.replace; charges for its result before it is made.
/// @param most  replacements at most; negative = any number.
[[nodiscard]] std::string replaced(Budget& budget, std::string_view text, std::string_view old_text,
                                   std::string_view new_text, std::int64_t most);
/// str.strip(characters).
[[nodiscard]] std::string stripped(Budget& budget, std::string_view text, StripSides sides,
                                   std::string_view characters);

}  // namespace gridmill::jinja
