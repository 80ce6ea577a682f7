#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/records/row_fields.hpp"
#include "gridmill/template/value.hpp"

namespace gridmill {

/// A text as a JSON string; ill-formed UTF-8 becomes U+FFFD.
[[nodiscard]] std::string json_string(std::string_view text);
/// A value of a record as JSON on one line. Keeps the order of keys and integers of any size.
[[nodiscard]] std::string json_of(const jinja::Value& value);
/// Null where a row has no such value. @param columns  of top_ids and top_logprobs: they are lists
/// of lists of so many entries; 0 = one list.
[[nodiscard]] std::string json_of(const RowValue& value, std::size_t columns = 0);

/// A member of a JSON object, its value as it stands there.
struct JsonMember {
  std::string key;
  std::string_view value;
};
/// The members of `object`, in order. @param object  a JSON object on one line, which is in order,
/// perhaps with NaN and the like as Python writes them; must outlive the result.
[[nodiscard]] std::vector<JsonMember> members_of_json(std::string_view object);

}  // namespace gridmill
