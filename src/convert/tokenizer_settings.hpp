#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "convert/model_folder.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::convert_detail {

/// Settings of the files beside a tokenizer: tokenizer_config.json, special_tokens_map.json and
/// added_tokens.json.
class TokenizerSettings {
 public:
  /// @throws FormatError
  explicit TokenizerSettings(ModelFolder& folder);

  /// A flag of tokenizer_config.json. @throws FormatError if it is no flag
  [[nodiscard]] std::optional<bool> flag(const char* name) const;
  /// `tokenizer_class` without a trailing "Fast".
  [[nodiscard]] std::string tokenizer_class() const;
  /// The special token that a field such as `bos_token` names; empty = none.
  [[nodiscard]] std::string special_token(const char* name) const;
  /// All special tokens that are named.
  [[nodiscard]] const std::set<std::string>& special_tokens() const { return special_; }
  /// Entries for `added_tokens` of a tokenizer.json, by id.
  [[nodiscard]] const std::map<std::int64_t, Json>& added_tokens() const { return added_; }
  /// Logs settings of tokenizer_config.json that change ids or text and are not applied.
  void report_others() const;
  [[nodiscard]] const std::string& where() const { return where_; }

 private:
  std::string where_;  // of tokenizer_config.json
  Json config_;        // an object, empty if there is none
  std::set<std::string> special_;
  std::map<std::int64_t, Json> added_;

  void read_special_tokens(const Json& source, const std::string& where);
  void read_decoder_of_added_tokens();
  void read_old_added_tokens(const Json& tokens, const std::string& where);
};

}  // namespace gridmill::convert_detail
