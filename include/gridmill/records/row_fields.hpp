#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// Fields of a row of a result file.
enum class RowField : std::uint8_t {
  index,
  prompt_index,
  sample_index,
  text,
  tokens,
  logprobs,
  top_ids,
  top_logprobs,
  finish_reason,
  stop,
  stop_index,
  truncated,
  failure,
  prompt_tokens,
  completion_tokens,
  sum_logprob,
  mean_logprob,
  prompt,
  messages,
  record,
};

/// JSON that goes into another text as it stands.
struct JsonText {
  std::string json;
};

/// The lists refer to the row.
using RowValue = std::variant<std::monostate, bool, std::int64_t, double, std::string, JsonText,
                              std::span<const TokenId>, std::span<const float>>;

/// When a field is exported without being named.
enum class Presence : std::uint8_t {
  always,
  if_any,  ///< in rows that have it
  named,   ///< only if it is named
};

struct RowFieldInfo {
  RowField field;
  const char* name;
  Presence presence;
  bool of_prompt;       ///< the same for every sample of a prompt
  bool needs_logprobs;  ///< of the result file
};

/// All fields, in the order of a line.
[[nodiscard]] std::span<const RowFieldInfo> row_fields();
[[nodiscard]] const RowFieldInfo& info_of(RowField field);

/// A field under the name that it gets.
struct NamedField {
  std::string name;
  RowField field;
};

/// Reads `text,answer=tokens`: fields, or NAME=FIELD for another name.
/// @throws UsageError for a field that is unknown, a name twice, or nothing at all.
[[nodiscard]] std::vector<NamedField> parse_row_fields(const std::string& list);

}  // namespace gridmill
