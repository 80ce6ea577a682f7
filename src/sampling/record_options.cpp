#include "gridmill/sampling/record_options.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace gridmill {

Json find_record_options(const std::string& record, const std::string& field) {
  // Most records have none: no second parse for them.
  const std::string first_name = field.substr(0, field.find('.'));
  if (record.find('"' + first_name + '"') == std::string::npos) return nullptr;
  Json value = parse_json(record, "record");
  for (std::size_t first = 0; first <= field.size();) {
    const std::size_t end = std::min(field.find('.', first), field.size());
    const std::string name = field.substr(first, end - first);
    if (!value.is_object() || !value.contains(name)) return nullptr;
    Json inner = std::move(value[name]);
    value = std::move(inner);
    first = end + 1;
  }
  return value;
}

}  // namespace gridmill
