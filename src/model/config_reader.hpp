#pragma once

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::model_detail {

/// Reads a JSON object field by field and refuses unread fields: a configuration never
/// names something that is silently ignored. Every function throws FormatError naming the field.
class ConfigReader {
 public:
  /// @param where  names the object in messages. `object` must outlive the reader.
  ConfigReader(const Json& object, std::string where);

  [[nodiscard]] std::int64_t integer(const std::string& name, std::int64_t least);
  [[nodiscard]] std::int64_t integer_or(const std::string& name, std::int64_t fallback,
                                        std::int64_t least);
  /// A size that kernels hold in an int: at most a million.
  [[nodiscard]] int size(const std::string& name, int least);
  [[nodiscard]] int size_or(const std::string& name, int fallback, int least);
  /// Finite.
  [[nodiscard]] double number(const std::string& name, double least);
  [[nodiscard]] double number_or(const std::string& name, double fallback, double least);
  [[nodiscard]] bool flag_or(const std::string& name, bool fallback);
  [[nodiscard]] std::string text(const std::string& name);
  [[nodiscard]] std::string text_or(const std::string& name, const std::string& fallback);
  /// A list of integers >= `least`; empty if the field is missing.
  [[nodiscard]] std::vector<std::int64_t> integers_or_none(const std::string& name,
                                                           std::int64_t least);
  [[nodiscard]] const Json& object(const std::string& name);
  [[nodiscard]] const Json& list(const std::string& name);
  /// Finite, more than 0.
  [[nodiscard]] std::vector<double> positive_numbers(const std::string& name);
  [[nodiscard]] bool given(const std::string& name) const { return object_.contains(name); }
  /// The value that belongs to the text of field `name`; other texts are "unsupported".
  template <typename T>
  [[nodiscard]] T choice_or(const std::string& name, const std::string& fallback,
                            std::initializer_list<std::pair<const char*, T>> choices) {
    const std::string chosen = text_or(name, fallback);
    std::string known;
    for (const auto& [label, value] : choices) {
      if (chosen == label) return value;
      known += known.empty() ? label : std::string(", ") + label;
    }
    unsupported(name, chosen, known);
  }
  /// @throws FormatError naming fields that were never read.
  void finish() const;

  [[noreturn]] void fail(const std::string& message) const;
  [[noreturn]] void unsupported(const std::string& name, const std::string& found,
                                const std::string& known) const;

 private:
  const Json* find(const std::string& name);
  const Json& require(const std::string& name);

  const Json& object_;
  std::string where_;
  std::set<std::string> seen_;
};

/// Token fields of every configuration.
struct TokenFields {
  std::int64_t vocab_size = 0;
  TokenId bos_id = -1;
  std::vector<TokenId> eod_ids = {};
  std::int64_t max_length = 0;  ///< 0 = none
};
[[nodiscard]] TokenFields read_token_fields(ConfigReader& reader);

}  // namespace gridmill::model_detail
