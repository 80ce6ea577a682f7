#pragma once

#include "template/lexer.hpp"
#include "template/names.hpp"
#include "template/syntax.hpp"

namespace gridmill::jinja {

/// @param names  gets every name of the template. @throws FormatError
[[nodiscard]] Body parse_body(const Source& source, Names& names);

}  // namespace gridmill::jinja
