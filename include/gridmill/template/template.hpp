#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "gridmill/template/value.hpp"

namespace gridmill::jinja {

/// A rendering that failed: the template raised, a value did not fit, or a limit was reached.
class RenderError : public Error {
 public:
  RenderError(const std::string& message, std::string reason, bool raised)
      : Error(ExitCode::bad_input, message), reason_(std::move(reason)), raised_(raised) {}

  /// The message without the position.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  /// Whether the template called raise_exception; reason() is then its argument.
  [[nodiscard]] bool raised() const { return raised_; }

 private:
  std::string reason_;
  bool raised_;
};

/// Bounds of one rendering. A template that exceeds one ends in a RenderError.
struct RenderLimits {
  std::uint64_t steps = 20'000'000;                        ///< operations; about 2 s
  std::uint64_t created_bytes = std::uint64_t{512} << 20;  ///< of all texts and lists it makes
  std::uint64_t output_bytes = std::uint64_t{64} << 20;
  int depth = 800;  ///< of nested statements, expressions and macro calls
};

/// Seconds since 1970-01-01 00:00:00 as the template's own clock shows them (no time zone).
using LocalTime = std::chrono::sys_seconds;
/// Reads YYYY-MM-DDTHH:MM:SS. @throws UsageError
[[nodiscard]] LocalTime local_time_from_text(const std::string& text);

/// A compiled template of the Jinja subset that docs/templates.md describes, with trim_blocks and
/// lstrip_blocks as chat templates are rendered elsewhere. Immutable: threads may share it.
class Template {
 public:
  /// @param name  names the source in messages.
  /// @throws FormatError with line and column for text that is no template, or that uses what is
  /// not supported.
  [[nodiscard]] static Template parse(std::string_view source, const std::string& name);
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  /// Whether `name` occurs as a variable or function.
  [[nodiscard]] bool mentions(std::string_view name) const;

  /// @param variables  what the template sees beside its functions.
  /// @param now  for strftime_now; undefined there without it.
  /// @throws RenderError, with line and column.
  [[nodiscard]] std::string render(const Members& variables, std::optional<LocalTime> now = {},
                                   const RenderLimits& limits = {}) const;

 private:
  struct Program;
  explicit Template(std::unique_ptr<const Program> program);
  std::unique_ptr<const Program> program_;
};

}  // namespace gridmill::jinja
