#pragma once

#include <string_view>

namespace gridmill::report_detail {

/// Contents of page.css and page.js; neither holds a closing tag.
[[nodiscard]] std::string_view page_style();
[[nodiscard]] std::string_view page_script();

}  // namespace gridmill::report_detail
