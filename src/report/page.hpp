#pragma once

#include <string>

#include "gridmill/base/json.hpp"
#include "report/overview.hpp"

namespace gridmill::report_detail {

/// The whole page. @param sample  by sample_of().
[[nodiscard]] std::string page_html(const PageInputs& inputs, const OrderedJson& sample);

}  // namespace gridmill::report_detail
