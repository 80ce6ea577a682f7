#pragma once

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/mutator.hpp"

namespace gridmill::fuzz {

/// A template in pieces: delimiters, words, texts in quotes, and characters.
inline std::vector<std::string> template_pieces(std::string_view text) {
  const auto in_word = [](char letter) {
    return std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_';
  };
  std::vector<std::string> pieces;
  while (!text.empty()) {
    std::size_t length = 1;
    const std::string_view two = text.substr(0, 2);
    if (two == "{{" || two == "}}" || two == "{%" || two == "%}" || two == "{#" || two == "#}") {
      length = 2;
    } else if (text[0] == '\'' || text[0] == '"') {
      const std::size_t end = text.find(text[0], 1);
      length = end == std::string_view::npos ? text.size() : end + 1;
    } else if (in_word(text[0])) {
      while (length < text.size() && in_word(text[length])) ++length;
    }
    pieces.emplace_back(text.substr(0, length));
    text.remove_prefix(length);
  }
  return pieces;
}

/// What templates are made of, and what makes them large, deep or endless.
inline const std::vector<std::string>& template_words() {
  static const std::vector<std::string> kWords = {"{% for m in messages %}",
                                                  "{% endfor %}",
                                                  "{% if x is defined %}",
                                                  "{% else %}",
                                                  "{% elif not x %}",
                                                  "{% endif %}",
                                                  "{% set x = x ~ x %}",
                                                  "{% set ns.x = [ns] %}",
                                                  "{% macro f(x) %}{{ f(x) }}{% endmacro %}",
                                                  "{{ f(1) }}",
                                                  "{{",
                                                  "}}",
                                                  "{%-",
                                                  "-%}",
                                                  "{#",
                                                  "#}",
                                                  "{% raw %}",
                                                  "{% endraw %}",
                                                  "{% break %}",
                                                  "{% continue %}",
                                                  "{% generation %}",
                                                  "namespace(x=0)",
                                                  "range(1000000)",
                                                  "range(9, 0, -1)",
                                                  "loop.index",
                                                  "loop.previtem",
                                                  "caller()",
                                                  "|tojson",
                                                  "|tojson(indent=9)",
                                                  "|join(', ')",
                                                  "|trim",
                                                  "|length",
                                                  "|selectattr('a')",
                                                  "|map(attribute='role')|list",
                                                  "|default(1, true)",
                                                  "|replace('', 'ab')",
                                                  "|indent(99)",
                                                  ".split('')",
                                                  ".items()",
                                                  "['a']",
                                                  "[::-1]",
                                                  "[-1:0:0]",
                                                  "[0]",
                                                  "(",
                                                  ")",
                                                  "[",
                                                  "]",
                                                  "{",
                                                  "}",
                                                  "x",
                                                  "messages",
                                                  "m",
                                                  "m.content",
                                                  "none",
                                                  "true",
                                                  "1",
                                                  "-1",
                                                  "0",
                                                  "1.5",
                                                  "99999999999999999999999",
                                                  "**",
                                                  "*",
                                                  "//",
                                                  "%",
                                                  "~",
                                                  "+",
                                                  "-",
                                                  "/",
                                                  "==",
                                                  "<",
                                                  "in",
                                                  "not in",
                                                  "is",
                                                  "and",
                                                  "or",
                                                  "if",
                                                  "else",
                                                  "'%s' % x",
                                                  "'a' * 99999",
                                                  "2 ** 2 ** 2 ** 9",
                                                  "1 / 0",
                                                  "strftime_now('%Y')",
                                                  "raise_exception('x')",
                                                  "lipsum()",
                                                  "x.__class__",
                                                  "'\\u0000'",
                                                  "\n"};
  return kWords;
}

/// One change of a template, piece by piece.
inline std::string mutated_template(std::string_view text, const Dice& dice) {
  std::vector<std::string> pieces = template_pieces(text);
  const std::size_t at = dice(pieces.size() + 1);
  const auto place = pieces.begin() + static_cast<std::ptrdiff_t>(at);
  const bool inside = at < pieces.size();
  switch (dice(6)) {
    case 0:
      pieces.insert(place, one_of(template_words(), dice));
      break;
    case 1:
      if (inside) *place = one_of(template_words(), dice);
      break;
    case 2:
      if (inside) pieces.erase(place);
      break;
    case 3:
      if (inside) std::swap(*place, pieces[dice(pieces.size())]);
      break;
    case 4:
      if (inside) *place = pieces[dice(pieces.size())];
      break;
    default: {  // a stretch again
      const std::size_t length = std::min<std::size_t>(1 + dice(12), pieces.size() - at);
      const std::vector<std::string> stretch(place, place + static_cast<std::ptrdiff_t>(length));
      pieces.insert(pieces.begin() + static_cast<std::ptrdiff_t>(at), stretch.begin(),
                    stretch.end());
      break;
    }
  }
  std::string out;
  for (const std::string& piece : pieces) out += piece;
  return out;
}

}  // namespace gridmill::fuzz
