#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/json.hpp"

namespace gridmill::report_detail {

/// `text` as content or quoted attribute of an element: no markup, control characters and
/// ill-formed bytes as printable() shows them.
[[nodiscard]] std::string escape(std::string_view text);
/// The same, with a direction of reading of its own.
[[nodiscard]] std::string isolated(std::string_view text);
/// JSON for the inside of a script element: no `<`, ill-formed UTF-8 becomes U+FFFD.
[[nodiscard]] std::string script_json(const OrderedJson& value);

/// 1234567 as "1,234,567".
[[nodiscard]] std::string grouped(std::uint64_t value);
/// About three digits: "843", "12.3k", "4.56M".
[[nodiscard]] std::string compact(double value);
/// "43 ms", "12.3 s", "5 min 10 s", "3 h 5 min", "2 d 4 h".
[[nodiscard]] std::string duration_text(double seconds);
[[nodiscard]] std::string percent(double share);
/// A command line for a POSIX shell.
[[nodiscard]] std::string shell_line(const std::vector<std::string>& arguments);
/// At most so many bytes, cut between characters and marked with an ellipsis.
[[nodiscard]] std::string shortened(std::string_view text, std::size_t most_bytes);
/// Bytes of the longest beginning of `text` with at most so many bytes that ends between
/// characters.
[[nodiscard]] std::size_t whole_characters(std::string_view text, std::size_t most_bytes);

}  // namespace gridmill::report_detail
