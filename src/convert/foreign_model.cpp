#include <charconv>
#include <string_view>

#include "convert/foreign_model_detail.hpp"
#include "gridmill/base/error.hpp"

namespace gridmill::convert_detail {

ParameterName split_parameter_name(const std::string& name) {
  constexpr std::string_view kLayers = "layers.";
  const std::size_t dot = name.find('.', kLayers.size());
  if (!name.starts_with(kLayers) || dot == std::string::npos) return {.leaf = name};
  std::int64_t layer = 0;
  const char* end = name.data() + dot;
  const auto parsed = std::from_chars(name.data() + kLayers.size(), end, layer);
  if (parsed.ec != std::errc() || parsed.ptr != end) return {.leaf = name};
  return {.layer = layer, .leaf = name.substr(dot + 1)};
}

void throw_no_source(const std::string& parameter) {
  throw InternalError("convert does not know where the model's parameter " + parameter +
                      " comes from; please report this");
}

}  // namespace gridmill::convert_detail
