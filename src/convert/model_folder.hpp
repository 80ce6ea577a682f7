#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/file.hpp"

namespace gridmill::convert_detail {

/// A folder with a model from an untrusted source. Files are regular ones in the folder, or
/// links of the hub's cache (docs/formats/foreign.md). Remembers which files were opened.
class ModelFolder {
 public:
  /// @throws IoError if the folder cannot be listed.
  explicit ModelFolder(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }
  /// "<folder>/<name>", for messages.
  [[nodiscard]] std::string place_of(std::string_view name) const;
  /// Names of the entries that are no folders, sorted.
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  /// Whether there is such a file, be it a link to nothing.
  [[nodiscard]] bool has(std::string_view name) const;
  /// Whether the file was opened.
  [[nodiscard]] bool was_read(const std::string& name) const { return read_.contains(name); }

  /// @throws MissingInputError if there is no such file, or a link to nothing; FormatError if it is
  ///         a link that leaves the folder, a FIFO, a device or a socket.
  [[nodiscard]] FileDescriptor open(const std::string& name);
  /// The whole file. @throws as open(), FormatError above 256 MiB
  [[nodiscard]] std::string read(const std::string& name);
  [[nodiscard]] std::optional<std::string> read_if_there(const std::string& name);

 private:
  std::string path_;
  std::vector<std::string> names_;
  std::set<std::string> read_;

  [[nodiscard]] std::string real_path_of(const std::string& name) const;
};

}  // namespace gridmill::convert_detail
