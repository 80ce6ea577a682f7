// Guesses the format of a prompt file whose lines cannot be used.
#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "json_record.hpp"
#include "sources_detail.hpp"

namespace gridmill {

namespace {

using detail::JsonRecord;
using detail::parse_record;

constexpr PromptId kMostLines = 1000;
constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;

/// How the content of some other kind of file begins.
struct Beginning {
  std::string_view bytes;
  const char* what;
};

constexpr std::array<Beginning, 9> kBeginnings = {{
    {"\x1f\x8b", "gzip: give it a name that ends in .gz"},
    {"\x28\xb5\x2f\xfd", "Zstandard: give it a name that ends in .zst"},
    {"BZh91AY&SY", "bzip2: decompress it first"},
    {"\xfd"
     "7zXZ",
     "xz: decompress it first"},
    {"PK\x03\x04", "a zip archive: unpack it first"},
    {"PAR1\x15", "Parquet: write it as .jsonl"},
    {"\x89HDF\r\n\x1a\n", "HDF5: give it a name that ends in .h5"},
    {"\xff\xfe", "UTF-16: write it as UTF-8"},
    {"\xfe\xff", "UTF-16: write it as UTF-8"},
}};

std::string_view trimmed(std::string_view text) {
  constexpr const char* kBlanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// Lines of text without a byte order mark, one after the other.
std::vector<std::string_view> first_lines(std::string_view text, std::size_t most) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < most) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(trimmed(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// Kind of a file that is not made of lines, from its first bytes; "" = none recognised.
std::string other_kind_of(std::string_view text) {
  for (const Beginning& beginning : kBeginnings) {
    if (text.starts_with(beginning.bytes)) return beginning.what;
  }
  // UTF-16 without a mark: every other byte of ASCII is 0.
  if (text.size() >= 4 && ((text[0] == '\0' && text[2] == '\0' && text[1] != '\0') ||
                           (text[1] == '\0' && text[3] == '\0' && text[0] != '\0'))) {
    return "UTF-16 without a byte order mark: write it as UTF-8";
  }
  return "";
}

/// The same for a .jsonl file whose first line cannot be used.
std::string other_json_of(std::string_view text) {
  const std::vector<std::string_view> lines = first_lines(text, 3);
  if (lines.empty()) return "";
  const std::string_view first = lines.front();
  std::string why;
  const bool alone = !parse_record(first, &why) && why == "it is a JSON array";
  if (first.starts_with('[') && (!alone || lines.size() == 1)) {
    return "one JSON array: write one object a line, for example with jq -c '.[]'";
  }
  if (first == "{" && lines.size() > 1) {
    return "JSON over several lines: write one object a line, for example with jq -c .";
  }
  return "";
}

/// Hint from a line without a usable object; "" = none.
std::string hint_of(std::string_view line, const std::string& reason) {
  line = trimmed(line);
  std::string why;
  if (const std::optional<JsonRecord> record = parse_record(line, &why)) {
    if (reason.find("has no field") == std::string::npos) return "";
    std::vector<std::string> fields;
    for (const auto& [name, value] : record->object.items()) fields.push_back(name);
    if (fields.empty()) return "the object is empty";
    constexpr std::size_t kMostNamed = 8;
    const std::string more = fields.size() > kMostNamed ? ", ..." : "";
    fields.resize(std::min(fields.size(), kMostNamed));
    return fmt::format("the object has the fields {}{}; --prompt-field names the one with the text",
                       fmt::join(fields, ", "), more);
  }
  if (line.ends_with(',') && parse_record(line.substr(0, line.size() - 1))) {
    return "it ends with a comma: remove the commas behind the objects";
  }
  return reason.ends_with("is not a JSON object") ? why : "";
}

std::string line_of(std::string_view text, PromptId prompt) {
  const std::vector<std::string_view> lines = first_lines(text, std::size_t{prompt} + 1);
  return lines.size() > prompt ? std::string(lines[prompt]) : "";
}

[[noreturn]] void refuse(const PromptSource& prompts, const std::string& what) {
  throw FormatError(fmt::format("{} looks like {}", prompts.path(), what));
}

}  // namespace

std::vector<std::string> require_usable_prompts(
    const PromptSource& prompts,
    const std::function<std::optional<std::string>(PromptId)>& why_not) {
  const PromptIndex& index = prompts.index();
  std::vector<std::string> reasons;
  if (index.format == PromptFormat::h5 || prompts.count() == 0) return reasons;
  constexpr std::uint64_t kLookedAt = std::uint64_t{1} << 20;
  const bool lines = index.format != PromptFormat::results;
  const std::string text = lines ? detail::beginning_of(prompts, kLookedAt) : "";
  if (const std::string other = other_kind_of(text); !other.empty()) refuse(prompts, other);
  if (index.format == PromptFormat::text_lines) return reasons;
  constexpr std::size_t kMostNamed = 3;
  PromptId prompt = 0;
  for (; prompt < std::min<std::uint64_t>(prompts.count(), kMostLines) &&
         (!lines || index.line_starts[prompt] < kMostBytes);
       ++prompt) {
    const std::optional<std::string> bad = why_not(prompt);
    if (!bad) return reasons;
    if (prompt == 0) {
      if (const std::string other = other_json_of(text); !other.empty()) refuse(prompts, other);
    }
    if (reasons.size() < kMostNamed) {
      const std::string hint = hint_of(line_of(text, prompt), *bad);
      reasons.push_back(hint.empty() ? *bad : fmt::format("{} ({})", *bad, hint));
    }
  }
  throw FormatError(fmt::format("{}: none of the first {} lines can be used: {}", prompts.path(),
                                prompt, reasons.front()));
}

}  // namespace gridmill
