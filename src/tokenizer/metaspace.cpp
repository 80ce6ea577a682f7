#include "tokenizer/metaspace.hpp"

#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/json_fields_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {

Metaspace read_metaspace(const Json& component, const std::string& where) {
  Metaspace metaspace{.mark = text_at(component, "replacement", where)};
  if (metaspace.mark.empty() || next_utf8(metaspace.mark, 0).length != metaspace.mark.size()) {
    throw FormatError(where + ": `replacement` is not one character");
  }
  const bool prefix = flag_or(component, "add_prefix_space", true, where);
  const std::string scheme =
      text_or(component, "prepend_scheme", prefix ? "always" : "never", where);
  if (scheme == "first") {
    metaspace.prepend = PrependScheme::first;
  } else if (scheme == "never") {
    metaspace.prepend = PrependScheme::never;
  } else if (scheme != "always") {
    refuse_component(where + ": prepend_scheme", scheme, "always, first and never");
  }
  if (!prefix && metaspace.prepend != PrependScheme::never) {
    throw FormatError(
        fmt::format("{}: `add_prefix_space` is false, but `prepend_scheme` is {}", where, scheme));
  }
  metaspace.split = flag_or(component, "split", true, where);
  return metaspace;
}

}  // namespace gridmill::tokenizer_detail
