#include "gridmill/base/file.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/temporary_file.hpp"

namespace gridmill {

std::string system_reason() { return system_reason(errno); }

std::string system_reason(int code) {
  std::string text = std::strerror(code);  // NOLINT(concurrency-mt-unsafe)
  rlimit limit{};
  if (code == EFBIG && ::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    text += fmt::format(" (the limit of file sizes, ulimit -f, is {} bytes)", limit.rlim_cur);
  }
  return text;
}
namespace {
std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}
/// For a pipe or device, which has no size.
std::string read_to_the_end(const FileDescriptor& file, const std::string& path) {
  constexpr std::size_t kPiece = std::size_t{64} << 10;
  std::string text;
  for (;;) {
    const std::size_t size = text.size();
    text.resize(size + kPiece);
    const ssize_t got = ::read(file.get(), text.data() + size, kPiece);
    text.resize(size + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError(fmt::format("reading {} failed: {}", path, system_reason()));
    if (got == 0) return text;
  }
}
}  // namespace

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

void FileDescriptor::close() {
  const int fd = std::exchange(fd_, -1);
  if (fd >= 0 && ::close(fd) != 0) throw IoError("closing a file failed: " + system_reason());
}

FileDescriptor open_for_reading(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid())
    throw MissingInputError(fmt::format("cannot read {}: {}", path, system_reason()));
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && S_ISDIR(status.st_mode)) {
    throw MissingInputError(fmt::format("cannot read {}: it is a folder", path));
  }
  return file;
}

std::string read_text_file(const std::string& path) {
  const FileDescriptor file = open_for_reading(path);
  struct stat status {};
  if (::fstat(file.get(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return read_to_the_end(file, path);
  }
  std::string text(file_size(file, path), '\0');
  read_exactly(file, 0, std::as_writable_bytes(std::span(text)), path);
  return text;
}

std::uint64_t file_size(const FileDescriptor& file, const std::string& path) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) {
    throw IoError(fmt::format("cannot find the size of {}: {}", path, system_reason()));
  }
  return static_cast<std::uint64_t>(status.st_size);
}

void read_exactly(const FileDescriptor& file, std::uint64_t offset, std::span<std::byte> bytes,
                  const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t got = ::pread(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw IoError(fmt::format("reading {} failed: {}", path, system_reason()));
    if (got == 0) {
      throw FormatError(fmt::format("{} is cut short: {} more bytes expected at offset {}", path,
                                    bytes.size(), offset));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

void write_exactly(const FileDescriptor& file, std::uint64_t offset,
                   std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t put =
        ::pwrite(file.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw IoError(fmt::format("writing {} failed: {}", path, system_reason()));
    bytes = bytes.subspan(static_cast<std::size_t>(put));
    offset += static_cast<std::uint64_t>(put);
  }
}

std::string follow_links(const std::string& path) {
  constexpr int kMostLinks = 40;  // as many as Linux follows
  std::string at = path;
  for (int links = 0; links <= kMostLinks; ++links) {
    std::string text(4096, '\0');
    const ssize_t size = ::readlink(at.c_str(), text.data(), text.size());
    if (size < 0) return at;  // no link, or nothing there
    text.resize(static_cast<std::size_t>(size));
    const std::string folder = folder_of(at);
    struct statfs system {};
    if (::statfs(folder.c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) return at;
    at = text.starts_with('/') ? text : at.substr(0, at.rfind('/') + 1) + text;
  }
  throw OutputError(fmt::format("{} is a circle of symbolic links", path));
}

void write_file_atomically(const std::string& path, std::string_view content) {
  TemporaryFile file(path);
  write_exactly(file.descriptor(), 0, std::as_bytes(std::span(content)), file.path());
  file.publish();
}

void sync_parent_folder(const std::string& path) {
  const std::string folder = folder_of(path);
  const FileDescriptor handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!handle.valid() || ::fsync(handle.get()) != 0) {
    throw IoError(fmt::format("syncing folder {} failed: {}", folder, system_reason()));
  }
}

}  // namespace gridmill
