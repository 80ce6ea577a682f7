#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "gridmill/base/json.hpp"

namespace gridmill {

/// Parses an object member by member, so that one member's value is in memory at a time.
/// @param member  gets the key and the value of each member, in the order of the text.
/// @throws FormatError as parse_json, and if `text` is no object, a key occurs twice or a member
///         has more than 2^20 values.
void parse_json_members(std::string_view text, const std::string& where,
                        const std::function<void(const std::string&, const Json&)>& member);

}  // namespace gridmill
