#pragma once

// The home of nlohmann-json.
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace gridmill {

using Json = nlohmann::json;
/// Keeps the order of keys: for files that people read.
using OrderedJson = nlohmann::ordered_json;

/// Parses `text`; comments and trailing characters are refused.
/// @param where  names the source in the message, e.g. "model/config.json".
/// @throws FormatError if `text` is not JSON or nested deeper than 256 levels.
[[nodiscard]] Json parse_json(std::string_view text, const std::string& where);

}  // namespace gridmill
