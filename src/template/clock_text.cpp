#include "template/clock_text.hpp"

#include <array>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "template/budget.hpp"

namespace gridmill::jinja {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {
    "January", "February", "March",     "April",   "May",      "June",
    "July",    "August",   "September", "October", "November", "December"};
constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};

struct Calendar {
  int year;
  unsigned month, day, weekday;
  int day_of_year, hour, minute, second;
};

Calendar calendar_of(LocalTime now) {
  using std::chrono::days;
  using std::chrono::floor;
  const auto day = floor<days>(now);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(now - day);
  const std::chrono::sys_days new_year(date.year() / std::chrono::January / 1);
  return {.year = static_cast<int>(date.year()),
          .month = static_cast<unsigned>(date.month()),
          .day = static_cast<unsigned>(date.day()),
          .weekday = std::chrono::weekday(day).c_encoding(),
          .day_of_year = static_cast<int>((day - new_year).count()) + 1,
          .hour = static_cast<int>(time.hours().count()),
          .minute = static_cast<int>(time.minutes().count()),
          .second = static_cast<int>(time.seconds().count())};
}

std::string field(const Calendar& c, char letter) {
  const int hour12 = c.hour % 12 == 0 ? 12 : c.hour % 12;
  switch (letter) {
    case 'Y':
      return fmt::format("{:04}", c.year);
    case 'y':
      return fmt::format("{:02}", c.year % 100);
    case 'm':
      return fmt::format("{:02}", c.month);
    case 'd':
      return fmt::format("{:02}", c.day);
    case 'e':
      return fmt::format("{:2}", c.day);
    case 'B':
      return std::string(kMonths[c.month - 1]);
    case 'b':
    case 'h':
      return std::string(kMonths[c.month - 1].substr(0, 3));
    case 'A':
      return std::string(kDays[c.weekday]);
    case 'a':
      return std::string(kDays[c.weekday].substr(0, 3));
    case 'j':
      return fmt::format("{:03}", c.day_of_year);
    case 'H':
      return fmt::format("{:02}", c.hour);
    case 'I':
      return fmt::format("{:02}", hour12);
    case 'M':
      return fmt::format("{:02}", c.minute);
    case 'S':
      return fmt::format("{:02}", c.second);
    case 'p':
      return c.hour < 12 ? "AM" : "PM";
    case 'F':
      return fmt::format("{:04}-{:02}-{:02}", c.year, c.month, c.day);
    case 'T':
      return fmt::format("{:02}:{:02}:{:02}", c.hour, c.minute, c.second);
    case '%':
      return "%";
    default:
      throw Fault{fmt::format("strftime_now does not support '%{}'", letter)};
  }
}

}  // namespace

LocalTime local_time_from_text(const std::string& text) {
  constexpr std::string_view kPattern = "dddd-dd-ddTdd:dd:dd";
  const auto fail = [&] {
    throw UsageError(fmt::format(
        "'{}' is no time: expected YYYY-MM-DDTHH:MM:SS, such as 2026-02-03T04:05:06", text));
  };
  if (text.size() != kPattern.size()) fail();
  for (std::size_t i = 0; i < kPattern.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (kPattern[i] == 'd' ? !digit : text[i] != kPattern[i]) fail();
  }
  const auto number = [&](std::size_t at, std::size_t length) {
    return std::stoi(text.substr(at, length));
  };
  const std::chrono::year_month_day date(std::chrono::year(number(0, 4)),
                                         std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                         std::chrono::day(static_cast<unsigned>(number(8, 2))));
  if (!date.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 59) fail();
  return std::chrono::sys_days(date) + std::chrono::hours(number(11, 2)) +
         std::chrono::minutes(number(14, 2)) + std::chrono::seconds(number(17, 2));
}

std::string clock_text(LocalTime now, const std::string& format) {
  const Calendar calendar = calendar_of(now);
  std::string text;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      text += format[i];
    } else if (++i == format.size()) {
      text += '%';
    } else if (format[i] == '-' && i + 1 < format.size()) {
      const std::string padded = field(calendar, format[++i]);
      const std::size_t first = padded.find_first_not_of('0');
      text += padded.substr(first == std::string::npos ? padded.size() - 1 : first);
    } else {
      text += field(calendar, format[i]);
    }
  }
  return text;
}

}  // namespace gridmill::jinja
