#pragma once

#include <string>

#include "gridmill/base/file.hpp"

namespace gridmill {

/// A file under construction: a new file in the folder of `target`, under a name that cannot be
/// guessed (TARGET.<16 hexadecimal digits>.tmp), never through a link. Its mode follows the umask.
/// It takes the target's name when it is published, and is gone if it is not.
///
/// A process that is killed leaves it behind. The next TemporaryFile of the same target removes
/// it: a living owner holds a lock on it (where the file system has locks).
class TemporaryFile {
 public:
  /// @throws OutputError if it cannot be created.
  explicit TemporaryFile(std::string target);
  TemporaryFile(TemporaryFile&& other) noexcept;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();

  [[nodiscard]] const std::string& path() const { return path_; }
  /// Open for reading and writing.
  [[nodiscard]] const FileDescriptor& descriptor() const { return file_; }
  /// Waits until the content is durable, gives it the target's name in place of what has that name
  /// now, and makes that durable. @throws IoError
  void publish();
  /// After publish(): the open file, with its lock (fcntl, exclusive, of the open file
  /// description).
  [[nodiscard]] FileDescriptor take_descriptor() { return std::move(file_); }

 private:
  std::string target_;
  std::string path_;  ///< empty = nothing to remove
  FileDescriptor file_;
};

/// Takes the exclusive fcntl lock of the open file description on the whole file, without waiting.
/// @return 0, or errno: EAGAIN if another open file holds a lock; other values where there are no
/// locks.
[[nodiscard]] int try_lock_whole_file(const FileDescriptor& file);

}  // namespace gridmill
