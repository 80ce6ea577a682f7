#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "convert/gguf/gguf_file.hpp"
#include "gridmill/base/json.hpp"

namespace gridmill::convert_detail {

/// The keys of a GGUF file that belong to its architecture ("llama.block_count", ...), typed, by
/// their names without the architecture. Records which were read, so that unread keys can be
/// refused. Every getter throws FormatError naming file and key for a value of another kind, and
/// for a missing one if there is no fallback.
class GgufKeys {
 public:
  /// @param file  must outlive this.
  GgufKeys(const GgufFile& file, std::string_view architecture);

  /// The value, or nullptr without one.
  [[nodiscard]] const Json* find(const std::string& name);
  /// Copies a key to a field of another name. @return whether it is there
  bool copy(const std::string& name, Json& config, const char* field);
  /// 1 <= value <= 2^31.
  [[nodiscard]] std::int64_t size(const std::string& name,
                                  std::optional<std::int64_t> fallback = std::nullopt);
  /// Finite.
  [[nodiscard]] double number(const std::string& name, double fallback);
  [[nodiscard]] std::string text(const std::string& name, const std::string& fallback);
  /// A key that changes what is computed and is not applied: it may be absent, or one of `neutral`.
  /// @throws FormatError with the word `unsupported`.
  void refuse(const std::string& name, std::initializer_list<Json> neutral);
  /// Ends the reading. Keys of the list of harmless ones may be left; of the others, those that are
  /// off (0, false, empty) are logged in one line.
  /// @throws FormatError with the word `unsupported` for any other unread key.
  void refuse_unread() const;

  /// @throws FormatError "<file>: key <architecture>.<name> <problem>"
  [[noreturn]] void fail(const std::string& name, const std::string& problem) const;
  /// Logs the same as a warning.
  void warn(const std::string& name, const std::string& problem) const;

 private:
  const GgufFile& file_;
  std::string prefix_;
  std::set<std::string> read_;
};

}  // namespace gridmill::convert_detail
