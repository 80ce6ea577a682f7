#include "gridmill/base/json.hpp"

#include "gridmill/base/error.hpp"

namespace gridmill {

Json parse_json(std::string_view text, const std::string& where) {
  constexpr int kDeepest =
      256;  // far beyond any real file; keeps the recursive destructor within the stack
  bool too_deep = false;
  const auto guard = [&too_deep](int depth, Json::parse_event_t event, Json& /*value*/) {
    const bool opens =
        event == Json::parse_event_t::object_start || event == Json::parse_event_t::array_start;
    if (opens && depth >= kDeepest) too_deep = true;
    return !too_deep;
  };
  try {
    Json value = Json::parse(text, guard);
    if (too_deep) throw FormatError(where + ": JSON is nested deeper than 256 levels");
    return value;
  } catch (const Json::exception& error) {  // out_of_range too: a number beyond double
    throw FormatError(where + ": not valid JSON: " + error.what());
  }
}

}  // namespace gridmill
