#include "gridmill/base/clock.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <ctime>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

std::chrono::milliseconds parse_duration(std::string_view text, const std::string& option) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::array<std::pair<std::string_view, double>, 5> kUnits = {
      {{"ms", 1.0}, {"s", 1e3}, {"", 1e3}, {"m", 6e4}, {"h", 3.6e6}}};
  for (const auto& [name, milliseconds] : kUnits) {
    const double total = number * milliseconds;
    if (problem == std::errc() && unit == name && number >= 0 && total <= 1e15) {
      return std::chrono::milliseconds(std::llround(total));
    }
  }
  throw UsageError(
      fmt::format("{} is '{}', expected a duration such as 50ms, 2s, 5m or 1h", option, text));
}

std::string utc_timestamp() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

}  // namespace gridmill
