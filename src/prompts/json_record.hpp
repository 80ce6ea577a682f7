#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gridmill/base/json.hpp"

namespace gridmill::detail {

/// A line of a .jsonl file, read as Python's json module reads it: it also takes NaN, Infinity and
/// -Infinity as values and halves of surrogate pairs in strings, which RFC 8259 does not allow but
/// json.dumps() writes. They do no harm in fields that gridmill does not use.
struct JsonRecord {
  /// NaN and infinities are null in it, halves of surrogate pairs U+FFFD.
  Json object;
  bool strict = true;  ///< the line is what RFC 8259 calls JSON: no oddity anywhere

  struct Oddity {
    std::string_view what;   ///< "NaN", "half of a surrogate pair", ...
    std::size_t column = 0;  ///< from 1, in bytes
  };
  /// The first oddity inside `field`. @param line  that the record was read from.
  [[nodiscard]] std::optional<Oddity> oddity_in(const std::string& field,
                                                std::string_view line) const;
};

/// Values of a line that Python's json module writes and RFC 8259 does not allow, and the line
/// without.
class PythonJson {
 public:
  explicit PythonJson(std::string_view line);
  PythonJson(const PythonJson&) = delete;
  PythonJson& operator=(const PythonJson&) = delete;
  ~PythonJson();

  [[nodiscard]] std::size_t count() const;
  /// The line with null for numbers that are none, U+FFFD for halves of surrogate pairs.
  [[nodiscard]] std::string strict_text() const;
  /// The same with another value in place of number `index`: whatever it changes is made of that.
  [[nodiscard]] std::string text_with_other(std::size_t index) const;
  [[nodiscard]] JsonRecord::Oddity at(std::size_t index) const;

 private:
  struct Tokens;
  std::unique_ptr<const Tokens> tokens_;
};

/// The object on a line. Nothing if there is none.
/// @param why  if given: gets the parser's own words, which may differ between versions of the
/// library and so never become part of a result file.
[[nodiscard]] std::optional<JsonRecord> parse_record(std::string_view line,
                                                     std::string* why = nullptr);

}  // namespace gridmill::detail
