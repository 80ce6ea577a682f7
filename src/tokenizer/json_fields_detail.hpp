#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gridmill/base/json.hpp"

namespace gridmill::tokenizer_detail {

// Typed access to JSON objects. `where` names the object in messages, e.g.
// "tokenizer.json: model"; every function throws FormatError if the value is of another type.

[[nodiscard]] bool has(const Json& object, const char* key);  ///< present and not null
[[nodiscard]] const Json& array_at(const Json& object, const char* key, const std::string& where);
[[nodiscard]] const Json& object_at(const Json& object, const char* key, const std::string& where);
[[nodiscard]] const std::string& text_at(const Json& object, const char* key,
                                         const std::string& where);
[[nodiscard]] std::string text_or(const Json& object, const char* key, const std::string& fallback,
                                  const std::string& where);
[[nodiscard]] bool flag_or(const Json& object, const char* key, bool fallback,
                           const std::string& where);
/// A whole number in [0, largest].
[[nodiscard]] int count_of(const Json& value, int largest, const std::string& where);

/// The `type` of a component. @throws FormatError if it is missing.
[[nodiscard]] const std::string& type_of(const Json& component, const std::string& where);
/// @throws FormatError always: `where` is of a type that gridmill does not run.
[[noreturn]] void refuse_component(const std::string& where, std::string_view found,
                                   std::string_view known);

}  // namespace gridmill::tokenizer_detail
