#pragma once

#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "gridmill/base/temporary_file.hpp"
#include "gridmill/compression/packer.hpp"
#include "gridmill/output/output_target.hpp"

namespace gridmill::cli {

/// Where text is exported to: stdout, a stream, or a temporary file that takes its name once it is
/// complete. Packed if its name says so.
class Destination {
 public:
  /// @param target  nothing = stdout. @param name  as the user gave it. @throws OutputError
  Destination(const std::optional<OutputTarget>& target, const std::string& name);
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;
  ~Destination();
  /// Text for a terminal, or for a program that reads it from a pipe or a file. @throws
  /// IoError
  void write_text(std::string_view text);
  /// @throws IoError
  void finish();

 private:
  void write(std::string_view text);
  void write_bytes(const void* bytes, std::size_t size);
  [[noreturn]] void fail() const;

  std::string path_;  ///< empty = stdout
  std::optional<TemporaryFile> temporary_;
  std::FILE* stream_;
  std::unique_ptr<Packer> packer_;
};

}  // namespace gridmill::cli
