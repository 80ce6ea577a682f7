#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/regex_detail.hpp"
#include "tokenizer/utf8_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr std::size_t kLongestPattern = 16384;     // real ones have a few hundred characters
constexpr std::uint32_t kMatchSteps = 10'000'000;  // PCRE2's usual limit of backtracking
constexpr std::uint32_t kMatchHeapKib = 256 * 1024;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeCompileContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

template <typename T>
T* not_null(T* pointer, const char* call) {
  if (pointer == nullptr) throw ResourceError(std::string(call) + ": not enough memory");
  return pointer;
}

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, FreeCode> compiled;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> limits;
  std::string pattern;
  std::string where;

  // Finds the next match at or after `start`; false if there is none.
  bool match(std::string_view text, std::size_t start, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    // Checking the text's UTF-8 at each call would take quadratic time; the caller has checked.
    int rc = pcre2_match(compiled.get(), subject, text.size(), start, PCRE2_NO_UTF_CHECK, data,
                         limits.get());
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
      rc = pcre2_match(compiled.get(), subject, text.size(), start,
                       PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, limits.get());
    }
    if (rc == PCRE2_ERROR_NOMATCH) return false;
    if (rc < 0) {
      throw FormatError(fmt::format("{}: the pattern {} cannot split a text of {} bytes: {}", where,
                                    pattern, text.size(), message_of(rc)));
    }
    return true;
  }
};

Regex::Regex(std::unique_ptr<const Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Regex::Regex(std::string_view pattern, const std::string& where) {
  if (pattern.size() > kLongestPattern) {
    throw FormatError(fmt::format("{}: a pattern of {} characters; at most {} are read", where,
                                  pattern.size(), kLongestPattern));
  }
  const std::string translated = to_pcre2_syntax(pattern, where);
  const std::unique_ptr<pcre2_compile_context, FreeCompileContext> context(
      not_null(pcre2_compile_context_create(nullptr), "pcre2_compile_context_create"));
  // Oniguruma's ^ and $ stand at every line, and only \n ends one.
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  constexpr std::uint32_t kOptions =
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_CAPTURE;
  int error = 0;
  PCRE2_SIZE offset = 0;
  auto code = std::make_unique<Code>();
  code->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                     translated.size(), kOptions, &error, &offset, context.get()));
  if (!code->compiled) {
    throw FormatError(
        fmt::format("{}: the pattern {} is wrong: {}", where, pattern, message_of(error)));
  }
  // Without JIT (not built in, or no executable memory) the interpreter gives the same matches.
  pcre2_jit_compile(code->compiled.get(), PCRE2_JIT_COMPLETE);
  code->limits.reset(not_null(pcre2_match_context_create(nullptr), "pcre2_match_context_create"));
  pcre2_set_match_limit(code->limits.get(), kMatchSteps);
  pcre2_set_heap_limit(code->limits.get(), kMatchHeapKib);
  code->pattern = pattern;
  code->where = where;
  code_ = std::move(code);
}

Regex Regex::of_literal(std::string_view literal, const std::string& where) {
  std::string pattern;
  for (const char c : literal) {
    if (std::string_view("\\^$.[]|()?*+{}").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  return {pattern, where};
}

std::vector<TextCut> Regex::cut_well_formed(std::string_view text) const {
  const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      not_null(pcre2_match_data_create(1, nullptr), "pcre2_match_data_create"));
  std::vector<TextCut> cuts;
  std::size_t covered = 0;  // all before belongs to `cuts`
  std::size_t search = 0;
  bool after_match = false;  // the last match ended at `search`
  while (search <= text.size() && code_->match(text, search, data.get())) {
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(data.get());
    const std::size_t begin = range[0];
    const std::size_t end = range[1];
    if (begin < covered || end < begin) {
      throw FormatError(code_->where + ": the pattern " + code_->pattern +
                        " is unsupported: its matches overlap");
    }
    const bool empty = begin == end;
    if (!(empty && after_match && begin == covered)) {
      if (covered < begin) cuts.push_back({covered, begin, false});
      cuts.push_back({begin, end, true});
      covered = end;
    }
    after_match = !empty;
    search = end;
    if (empty) search += end < text.size() ? next_utf8(text, end).length : 1;
  }
  if (covered < text.size()) cuts.push_back({covered, text.size(), false});
  return cuts;
}

std::vector<TextCut> Regex::cut(std::string_view text) const {
  if (is_well_formed_utf8(text)) return cut_well_formed(text);

  std::string subject;
  subject.reserve(text.size() * 2);
  std::vector<std::size_t> stand_ins;  // where in `subject` U+FFFD stands for one ill-formed byte
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Unit unit = next_utf8(text, i);
    if (unit.well_formed) {
      subject += text.substr(i, unit.length);
      i += unit.length;
    } else {
      stand_ins.push_back(subject.size());
      subject += kReplacement;
      ++i;
    }
  }
  const auto original = [&stand_ins](std::size_t offset) {
    const auto before = std::lower_bound(stand_ins.begin(), stand_ins.end(), offset);
    const auto count = static_cast<std::size_t>(before - stand_ins.begin());
    return offset - count * (kReplacement.size() - 1);
  };
  std::vector<TextCut> cuts = cut_well_formed(subject);
  for (TextCut& cut : cuts) {
    cut.begin = original(cut.begin);
    cut.end = original(cut.end);
  }
  return cuts;
}

}  // namespace gridmill::tokenizer_detail
