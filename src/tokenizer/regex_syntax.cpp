#include <algorithm>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/regex_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

constexpr std::string_view kWordProperties = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where)
      : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      if (pattern_[at_] == '\\') {
        escape();
      } else if (in_class_) {
        class_character();
      } else {
        plain_character();
      }
    }
    return result_;
  }

 private:
  std::string_view pattern_;
  const std::string& where_;
  std::string result_;
  std::size_t at_ = 0;
  std::size_t class_start_ = 0;  // where the first member of the open class stands
  bool in_class_ = false;

  [[noreturn]] void refuse(std::string_view construct) const {
    throw FormatError(fmt::format("{}: `{}` in the pattern {} is unsupported", where_, construct,
                                  std::string(pattern_)));
  }

  [[nodiscard]] bool follows(std::string_view text) const {
    return pattern_.substr(at_).starts_with(text);
  }

  void copy(std::size_t count) {
    result_ += pattern_.substr(at_, count);
    at_ += count;
  }

  void escape() {
    if (at_ + 1 == pattern_.size()) refuse("\\ at the end");
    const char kind = pattern_[at_ + 1];
    switch (kind) {
      case 's':
        result_ += "\\p{White_Space}";
        break;
      case 'S':
        result_ += "\\P{White_Space}";
        break;
      case 'w':
        result_ += in_class_ ? std::string(kWordProperties) : fmt::format("[{}]", kWordProperties);
        break;
      case 'W':
        if (in_class_) refuse("\\W inside a class");
        result_ += fmt::format("[^{}]", kWordProperties);
        break;
      case 'p':
      case 'P':
      case 'x':
        copy(2);
        if (follows("{")) copy(std::min(pattern_.find('}', at_), pattern_.size() - 1) + 1 - at_);
        return;
      case 'u':
        if (pattern_.size() - at_ < 6) refuse("\\u without four digits");
        result_ += fmt::format("\\x{{{}}}", pattern_.substr(at_ + 2, 4));
        at_ += 6;
        return;
      default:
        // Other meanings in the two engines (\h is a hexadecimal digit in one, a blank in the
        // other), word borders that depend on \w, and what could leave the text's characters.
        if (std::string_view("bBCEGgHhKkNOQRXyY").find(kind) != std::string_view::npos) {
          refuse(pattern_.substr(at_, 2));
        }
        copy(2);
        return;
    }
    at_ += 2;
  }

  void class_character() {
    if (pattern_[at_] == ']' && at_ > class_start_) {
      in_class_ = false;
    } else if (follows("&&")) {
      refuse("&& inside a class");
    } else if (follows("[:")) {
      const std::size_t end = pattern_.find(":]", at_);
      if (end == std::string_view::npos) refuse("[: without :]");
      copy(end + 2 - at_);
      return;
    } else if (pattern_[at_] == '[') {
      refuse("[ inside a class");
    }
    copy(1);
  }

  void plain_character() {
    if (pattern_[at_] == '[') {
      in_class_ = true;
      copy(follows("[^") ? 2 : 1);
      class_start_ = at_;
    } else if (follows("(*") || follows("}+")) {
      refuse(
          pattern_.substr(at_, 2));  // verbs; {n,m}+ repeats in one engine, is possessive in ours
    } else if (follows("(?")) {
      group();
    } else {
      copy(1);
    }
  }

  // Only groups that both engines read alike.
  void group() {
    for (const std::string_view opening :
         {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?i)", "(?-i:", "(?-i)"}) {
      if (follows(opening)) {
        copy(opening.size());
        return;
      }
    }
    refuse(pattern_.substr(at_, 3));
  }
};

}  // namespace

std::string to_pcre2_syntax(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace gridmill::tokenizer_detail
