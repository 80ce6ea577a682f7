#pragma once

#include <string>
#include <string_view>

namespace gridmill {

/// Whether `text` is well-formed UTF-8 (Unicode 15, table 3-7).
[[nodiscard]] bool is_utf8(std::string_view text);

/// How line breaks and tabs are shown.
enum class Breaks : bool { escaped, kept };

/// `text` for a terminal or a log: what would move the cursor, change colours, turn the direction
/// of reading or forge another line is shown as \x1b, \n or \u202e, ill-formed bytes as \xff.
/// Everything else stays as it is, so harmless text comes back unchanged.
[[nodiscard]] std::string printable(std::string_view text, Breaks breaks = Breaks::escaped);

}  // namespace gridmill
