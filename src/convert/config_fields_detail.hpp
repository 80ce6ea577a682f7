#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/json.hpp"

namespace gridmill::convert_detail {

/// Fields of a foreign configuration, typed; remembers which were read, so that nothing is
/// overlooked. A field that is null (or the text "None", as xlstm-jax writes it) counts as absent.
/// Every getter throws FormatError naming file and field for a value of another kind, and for a
/// missing one if there is no fallback.
class ConfigFields {
 public:
  /// @param fields  must be an object and outlive this.
  /// @param where  names the object in messages, e.g. "model/config.json".
  ConfigFields(const Json& fields, std::string where);

  [[nodiscard]] const std::string& where() const { return where_; }
  /// Whether the field is there, be it null.
  [[nodiscard]] bool mentioned(const std::string& name) const;
  /// Whether the field is there and not null.
  [[nodiscard]] bool given(const std::string& name);
  /// The value, or nullptr if it is absent or null.
  [[nodiscard]] const Json* value(const std::string& name);
  /// A count or an extent: 1 <= value <= 2^31 - 1.
  [[nodiscard]] std::int64_t size(const std::string& name,
                                  std::optional<std::int64_t> fallback = std::nullopt);
  [[nodiscard]] std::int64_t integer(const std::string& name,
                                     std::optional<std::int64_t> fallback = std::nullopt);
  /// Finite.
  [[nodiscard]] double number(const std::string& name,
                              std::optional<double> fallback = std::nullopt);
  /// Finite and greater than 0.
  [[nodiscard]] double positive(const std::string& name,
                                std::optional<double> fallback = std::nullopt);
  [[nodiscard]] bool flag(const std::string& name, bool fallback);
  [[nodiscard]] std::string text(const std::string& name,
                                 std::optional<std::string> fallback = std::nullopt);
  /// Token ids: an integer or a list of them; negative ones mean none.
  [[nodiscard]] std::vector<std::int64_t> token_ids(const std::string& name);

  /// Fields that may have any value: they do not change what the model computes when it generates.
  void ignore(std::initializer_list<std::string_view> names);
  /// Fields of other models that change the mathematics: only null, false, 0, 1 (for `neutral_one`)
  /// and empty values are accepted.
  /// @throws FormatError with the word `unsupported`.
  void refuse(std::initializer_list<std::string_view> names, bool neutral_one = false);
  /// Fields that were neither read nor ignored.
  [[nodiscard]] std::vector<std::string> unread() const;
  /// Ends the reading: an unknown field may change the computation of the model. Those whose
  /// values switch nothing on (see refuse) are logged in one line.
  /// @throws FormatError with the word `unsupported`.
  void refuse_unread() const;

  /// @throws FormatError "<where>: field <name> ..."
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const;

 private:
  const Json& fields_;
  std::string where_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace gridmill::convert_detail
