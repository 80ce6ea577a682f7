#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/json_mutator.hpp"
#include "fuzz/mutator.hpp"

namespace gridmill::fuzz {

/// Texts that files of JSON lines hold in the place of lines.
inline const std::vector<std::string>& odd_lines() {
  static const std::vector<std::string> kLines = {"",
                                                  " ",
                                                  "\r",
                                                  "[",
                                                  "]",
                                                  "null",
                                                  "NaN",
                                                  "\xEF\xBB\xBF{}",
                                                  R"({"prompt": NaN})",
                                                  R"({"prompt": "\ud83d"})",
                                                  R"({"prompt": "a", "prompt": 1, "x": -Infinity})",
                                                  R"({"messages": [], "prompt": null})",
                                                  R"({"prompt": [1, 1e3, -0, 1.0]})",
                                                  "{\"prompt\": \"a\"},",
                                                  std::string("{\"prompt\": \"\0\"}", 15),
                                                  std::string(300, '['),
                                                  "\x1F\x8B\x08",
                                                  "\xFF\xFE{\0"};
  return kLines;
}

/// One change of a file of JSON lines: in the JSON of a line, of a line, or of their order.
inline std::string mutated_lines(std::string_view text, const Dice& dice) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  if (lines.empty()) lines.emplace_back();
  const std::size_t at = dice(lines.size());
  const auto place = lines.begin() + static_cast<std::ptrdiff_t>(at);
  switch (dice(8)) {
    case 0:
      lines.insert(place, one_of(odd_lines(), dice));
      break;
    case 1:
      lines.erase(place);
      break;
    case 2:
      std::swap(*place, lines[dice(lines.size())]);
      break;
    case 3:
      change_bytes(*place, dice);
      break;
    default:
      *place = mutated_json(*place, static_cast<std::uint32_t>(dice(1U << 31)));
      break;
  }
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  if (dice(8) == 0 && !out.empty()) out.pop_back();  // no end of line at the end
  return out;
}

}  // namespace gridmill::fuzz
