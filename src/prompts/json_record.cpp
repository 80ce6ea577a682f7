#include "json_record.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"

namespace gridmill::detail {

namespace {

struct Token {
  std::string_view what;
  std::string_view strict;  ///< what stands for it
  std::string_view other;   ///< another value, to see where it ends up
  std::size_t begin = 0;
  std::size_t size = 0;
};

constexpr std::string_view kHalf = "half of a surrogate pair";

/// The number of an escape \uXXXX at `at`, or -1.
int code_unit(std::string_view line, std::size_t at) {
  if (line.size() < at + 6 || line[at] != '\\' || line[at + 1] != 'u') return -1;
  int value = 0;
  const char* const end = line.data() + at + 6;
  const auto [stop, problem] = std::from_chars(line.data() + at + 2, end, value, 16);
  return problem == std::errc() && stop == end ? value : -1;
}

bool is_high(int unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool is_low(int unit) { return unit >= 0xDC00 && unit < 0xE000; }

/// All values on the line that Python writes and RFC 8259 does not allow, in order.
std::vector<Token> odd_tokens(std::string_view line) {
  constexpr std::array<std::string_view, 3> kWords = {"NaN", "-Infinity", "Infinity"};
  std::vector<Token> tokens;
  bool in_text = false;
  for (std::size_t at = 0; at < line.size();) {
    if (!in_text) {
      std::size_t step = 1;
      for (const std::string_view word : kWords) {
        if (line.substr(at, word.size()) != word) continue;
        tokens.push_back({word, "null", "0", at, word.size()});
        step = word.size();
        break;
      }
      in_text = line[at] == '"';
      at += step;
      continue;
    }
    const int unit = code_unit(line, at);
    if (is_high(unit) && is_low(code_unit(line, at + 6))) {
      at += 12;
    } else if (is_high(unit) || is_low(unit)) {
      tokens.push_back({kHalf, "\\ufffd", "\\ufffc", at, 6});
      at += 6;
    } else if (line[at] == '\\') {
      at += 2;
    } else {
      in_text = line[at] != '"';
      ++at;
    }
  }
  return tokens;
}

constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

/// The line in JSON as RFC 8259 has it, with the other value at token `marked`.
std::string strict_text(std::string_view line, const std::vector<Token>& tokens,
                        std::size_t marked = kNone) {
  std::string text;
  std::size_t at = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    text += line.substr(at, tokens[i].begin - at);
    text += i == marked ? tokens[i].other : tokens[i].strict;
    at = tokens[i].begin + tokens[i].size;
  }
  text += line.substr(at);
  return text;
}

std::optional<Json> parse_object(std::string_view text, std::string* why) {
  try {
    Json value = parse_json(text, "line");
    if (value.is_object()) return value;
    if (why != nullptr) *why = std::string("it is a JSON ") + value.type_name();
  } catch (const FormatError& error) {
    if (why != nullptr) *why = error.what();
  }
  return std::nullopt;
}

}  // namespace

std::optional<JsonRecord::Oddity> JsonRecord::oddity_in(const std::string& field,
                                                        std::string_view line) const {
  constexpr std::size_t kMostTries = 100;  // a whole parse each
  if (strict) return std::nullopt;
  const auto found = object.find(field);
  const std::vector<Token> tokens = odd_tokens(line);
  for (std::size_t i = 0; i < std::min(tokens.size(), kMostTries); ++i) {
    const std::optional<Json> marked = parse_object(strict_text(line, tokens, i), nullptr);
    if (!marked) continue;
    const auto there = marked->find(field);
    const bool same =
        found == object.end() ? there == marked->end() : there != marked->end() && *there == *found;
    if (!same) return Oddity{tokens[i].what, tokens[i].begin + 1};
  }
  return std::nullopt;
}

struct PythonJson::Tokens {
  std::string_view line;
  std::vector<Token> tokens;
};

PythonJson::PythonJson(std::string_view line)
    : tokens_(std::make_unique<const Tokens>(Tokens{line, odd_tokens(line)})) {}
PythonJson::~PythonJson() = default;

std::size_t PythonJson::count() const { return tokens_->tokens.size(); }
std::string PythonJson::strict_text() const {
  return detail::strict_text(tokens_->line, tokens_->tokens);
}
std::string PythonJson::text_with_other(std::size_t index) const {
  return detail::strict_text(tokens_->line, tokens_->tokens, index);
}
JsonRecord::Oddity PythonJson::at(std::size_t index) const {
  const Token& token = tokens_->tokens[index];
  return {token.what, token.begin + 1};
}

std::optional<JsonRecord> parse_record(std::string_view line, std::string* why) {
  if (std::optional<Json> object = parse_object(line, why))
    return JsonRecord{std::move(*object), true};
  const std::vector<Token> tokens = odd_tokens(line);
  if (tokens.empty()) return std::nullopt;
  std::optional<Json> object = parse_object(strict_text(line, tokens), nullptr);
  if (!object) return std::nullopt;
  return JsonRecord{std::move(*object), false};
}

}  // namespace gridmill::detail
