#include "side_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <span>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::results_detail {

namespace {

/// Nonblocking: a FIFO of that name must not stop the program.
constexpr int kSafely = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

void require_ours(const FileDescriptor& file, const std::string& path, const std::string& output) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw OutputError(fmt::format("cannot use {}: {}", path, system_reason()));
  }
  const auto refuse = [&path](const std::string& what) {
    throw OutputError(fmt::format(
        "{} {}; gridmill keeps this file beside its output: remove it, or name another output",
        path, what));
  };
  if (!S_ISREG(status.st_mode)) refuse("is no regular file");
  if (status.st_nlink != 1) refuse("has other names (hard links)");
  struct stat result {};
  const bool of_the_owner = ::stat(output.c_str(), &result) == 0 && result.st_uid == status.st_uid;
  if (status.st_uid != ::geteuid() && !of_the_owner) {
    refuse(fmt::format("belongs to another user (number {})", status.st_uid));
  }
}

}  // namespace

FileDescriptor open_side_file(const std::string& path, const std::string& output, int flags) {
  FileDescriptor made(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | kSafely | flags, 0666));
  if (made.valid()) return made;
  FileDescriptor file(errno == EEXIST ? ::open(path.c_str(), O_RDWR | kSafely | flags) : -1);
  if (!file.valid() && errno == ELOOP) {
    throw OutputError(fmt::format(
        "{} is a symbolic link, and gridmill writes nothing through links that the user did not "
        "name; remove it",
        path));
  }
  if (!file.valid()) throw OutputError(fmt::format("cannot create {}: {}", path, system_reason()));
  require_ours(file, path, output);
  return file;
}

std::string read_side_file(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return "";
  std::string text(file_size(file, path), '\0');
  read_exactly(file, 0, std::as_writable_bytes(std::span(text)), path);
  return text;
}

}  // namespace gridmill::results_detail
