#pragma once

#include <stdexcept>
#include <string>

namespace gridmill {

/// Exit codes of the program (docs/cli.md); each Error kind carries one.
enum class ExitCode : int {
  ok = 0,
  failed_rows = 1,
  usage = 64,
  bad_input = 65,
  missing_input = 66,
  missing_resource = 69,
  internal = 70,
  system = 71,
  output_refused = 73,
  io = 74,
  stopped_early = 75,
};

/// Base of every exception gridmill throws. The kind says who has to read the message; the message
/// says what was expected, what was found, where, and what to do.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message)
      : std::runtime_error(message), code_(code), text_(message) {}

  [[nodiscard]] ExitCode code() const noexcept { return code_; }
  [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }

  /// Adds " (while <context>)" for a layer that rethrows.
  void add_context(const std::string& context) { text_ += " (while " + context + ")"; }

 private:
  ExitCode code_;
  std::string text_;
};

/// The caller's request cannot be met: unknown option, impossible grid, contradicting arguments.
class UsageError : public Error {
 public:
  explicit UsageError(const std::string& message) : Error(ExitCode::usage, message) {}
};

/// A file does not say what it should; its owner has to look.
class FormatError : public Error {
 public:
  explicit FormatError(const std::string& message) : Error(ExitCode::bad_input, message) {}
};

/// An input file is missing or cannot be read.
class MissingInputError : public Error {
 public:
  explicit MissingInputError(const std::string& message)
      : Error(ExitCode::missing_input, message) {}
};

/// Not enough memory, no device.
class ResourceError : public Error {
 public:
  explicit ResourceError(const std::string& message) : Error(ExitCode::missing_resource, message) {}
};

/// An invariant of ours is broken.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& message) : Error(ExitCode::internal, message) {}
};

/// MPI or the operating system failed.
class SystemError : public Error {
 public:
  explicit SystemError(const std::string& message) : Error(ExitCode::system, message) {}
};

/// The output cannot be created, belongs to another job, or another run is writing it.
class OutputError : public Error {
 public:
  explicit OutputError(const std::string& message) : Error(ExitCode::output_refused, message) {}
};

/// A write, sync or read failed on the way. Fatal, never retried.
class IoError : public Error {
 public:
  explicit IoError(const std::string& message) : Error(ExitCode::io, message) {}
};

}  // namespace gridmill
