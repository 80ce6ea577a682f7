#include "gridmill/job/job_part.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

std::optional<std::uint64_t> positive_number(std::string_view digits) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int32_t>::max();
  std::uint64_t value = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, problem] = std::from_chars(digits.data(), last, value);
  if (problem != std::errc() || end != last || value < 1 || value > kMost) return std::nullopt;
  return value;
}

}  // namespace

JobPart job_part_from_text(const std::string& text) {
  const std::string_view all = text;
  const std::size_t slash = std::min(all.find('/'), all.size());
  const auto number = positive_number(all.substr(0, slash));
  const auto of = positive_number(all.substr(std::min(slash + 1, all.size())));
  if (!number || !of || *number > *of) {
    throw UsageError(fmt::format(
        "--part is '{}', expected K/N, the number of a part and how many there are: 1/N to N/N",
        text));
  }
  return {.number = *number, .of = *of};
}

std::string to_text(const JobPart& part) { return fmt::format("{}/{}", part.number, part.of); }

RowRange rows_of_part(const JobPart& part, std::uint64_t rows, std::uint64_t samples_per_prompt) {
  const std::uint64_t prompts = rows / samples_per_prompt;
  // The first `longer` parts have a prompt more. No product can overflow.
  const std::uint64_t shorter = prompts / part.of;
  const std::uint64_t longer = prompts % part.of;
  const auto first_prompt = [&](std::uint64_t before) {
    return shorter * before + std::min(before, longer);
  };
  const std::uint64_t begin = first_prompt(part.number - 1);
  const std::uint64_t end = first_prompt(part.number);
  return {.first = begin * samples_per_prompt, .count = (end - begin) * samples_per_prompt};
}

}  // namespace gridmill
