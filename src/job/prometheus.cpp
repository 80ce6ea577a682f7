#include "job/prometheus.hpp"

#include <string_view>

#include "gridmill/base/format.hpp"
#include "gridmill/base/printable.hpp"

namespace gridmill::job_detail {

namespace {

/// Inside quotes; the format requires UTF-8.
std::string label_value(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

bool is_prometheus_file(const std::string& path) {
  return std::string_view(path).ends_with(".prom");
}

std::string prometheus_text(const OrderedJson& record, const std::string& output) {
  const std::string label = fmt::format("output=\"{}\"", label_value(output));
  std::string text;
  for (const auto& [name, value] : record.items()) {
    if (!value.is_number() && !value.is_object()) continue;
    text += fmt::format("# TYPE gridmill_{} gauge\n", name);
    if (value.is_number()) {
      text += fmt::format("gridmill_{}{{{}}} {}\n", name, label, value.dump());
      continue;
    }
    for (const auto& [over, number] : value.items()) {
      text +=
          fmt::format("gridmill_{}{{{},over_ranks=\"{}\"}} {}\n", name, label, over, number.dump());
    }
  }
  return text;
}

}  // namespace gridmill::job_detail
