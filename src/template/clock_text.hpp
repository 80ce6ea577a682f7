#pragma once

#include <string>

#include "gridmill/template/template.hpp"

namespace gridmill::jinja {

/// strftime in the C locale. @throws Fault for a letter that is not supported.
[[nodiscard]] std::string clock_text(LocalTime now, const std::string& format);

}  // namespace gridmill::jinja
