#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace gridmill {

/// Owns a file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  /// Closes now. @throws IoError
  void close();
  /// Gives up ownership.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

/// Why the last system call failed, as the system says it; a file that grew beyond its limit
/// (EFBIG) also with the limit.
[[nodiscard]] std::string system_reason();
/// The same for a value of errno.
[[nodiscard]] std::string system_reason(int code);

/// @throws MissingInputError if `path` cannot be opened for reading.
[[nodiscard]] FileDescriptor open_for_reading(const std::string& path);
/// The whole content as text. @throws MissingInputError
[[nodiscard]] std::string read_text_file(const std::string& path);
[[nodiscard]] std::uint64_t file_size(const FileDescriptor& file, const std::string& path);
/// Reads exactly `bytes.size()` bytes at `offset`.
/// @throws FormatError if the file ends before, IoError if the read fails.
void read_exactly(const FileDescriptor& file, std::uint64_t offset, std::span<std::byte> bytes,
                  const std::string& path);
/// Writes all of `bytes` at `offset`. @throws IoError
void write_exactly(const FileDescriptor& file, std::uint64_t offset,
                   std::span<const std::byte> bytes, const std::string& path);
/// Where writing to `path` ends: links in its last component are followed, also to a name that does
/// not exist yet. A link of /proc (such as /dev/stdout leads to) stands for an open file and is not
/// followed.
/// @throws OutputError for a circle of links.
[[nodiscard]] std::string follow_links(const std::string& path);
/// Writes `content` to a TemporaryFile of `path` and publishes it: readers see the old file or the
/// whole new one; a link at `path` is replaced.
/// @throws OutputError if the file cannot be created, IoError if writing fails.
void write_file_atomically(const std::string& path, std::string_view content);
/// Makes a rename in `path`'s folder durable. @throws IoError
void sync_parent_folder(const std::string& path);

}  // namespace gridmill
