#include "report/markup.hpp"

#include <cmath>

#include "gridmill/base/format.hpp"
#include "gridmill/base/printable.hpp"

namespace gridmill::report_detail {

namespace {

/// Digits behind the point that leave about three in all.
std::string three_digits(double value) {
  const double size = std::abs(value);
  if (size >= 99.95 || size == 0) return fmt::format("{:.0f}", value);
  return size >= 9.995 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

bool is_plain_for_shell(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./=,:@%+").find(c) != std::string_view::npos;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string isolated(std::string_view text) { return fmt::format("<bdi>{}</bdi>", escape(text)); }

std::string script_json(const OrderedJson& value) {
  const std::string text = value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {  // outside of strings JSON has no such character
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

std::string grouped(std::uint64_t value) {
  std::string digits = std::to_string(value);
  for (std::size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

std::string compact(double value) {
  if (std::abs(value) >= 999.5e6) return three_digits(value / 1e9) + "G";
  if (std::abs(value) >= 999.5e3) return three_digits(value / 1e6) + "M";
  if (std::abs(value) >= 9999.5) return three_digits(value / 1e3) + "k";
  if (value == std::floor(value)) return fmt::format("{:.0f}", value);
  return three_digits(value);
}

std::string duration_text(double seconds) {
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 60) return three_digits(seconds) + " s";
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
  return fmt::format("{} d {} h", whole / 86400, whole % 86400 / 3600);
}

std::string percent(double share) {
  if (share > 0 && share < 0.0005) return "<0.1 %";
  if (share < 1 && share > 0.9995) return ">99.9 %";
  return share == 0 || share == 1 ? fmt::format("{:.0f} %", share * 100)
                                  : fmt::format("{:.1f} %", share * 100);
}

std::string shell_line(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments) {
    if (!line.empty()) line += ' ';
    bool plain = !argument.empty();
    for (const char c : argument) plain = plain && is_plain_for_shell(c);
    if (plain) {
      line += argument;
      continue;
    }
    line += '\'';
    for (const char c : argument) {
      if (c == '\'') {
        line += R"('\'')";
      } else {
        line += c;
      }
    }
    line += '\'';
  }
  return line;
}

std::size_t whole_characters(std::string_view text, std::size_t most_bytes) {
  if (text.size() <= most_bytes) return text.size();
  std::size_t end = most_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return end;
}

std::string shortened(std::string_view text, std::size_t most_bytes) {
  if (text.size() <= most_bytes) return std::string(text);
  return std::string(text.substr(0, whole_characters(text, most_bytes))) + "…";
}

}  // namespace gridmill::report_detail
