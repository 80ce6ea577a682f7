#pragma once

#include <string>

#include "gridmill/base/json.hpp"

namespace gridmill {

/// The object in a record that overrides options (override_from_record()); null if it has none.
/// @param record  a JSON object, as text.
/// @param field  its name; dots lead into objects.
[[nodiscard]] Json find_record_options(const std::string& record, const std::string& field);

}  // namespace gridmill
