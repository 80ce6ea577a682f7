#include "gridmill/base/temporary_file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

constexpr std::size_t kRandomDigits = 16;
constexpr std::string_view kSuffix = ".tmp";

/// A path, cut behind its last slash.
struct Place {
  std::string folder;  ///< with its slash; empty = the working folder
  std::string name;
};

Place place_of(const std::string& target) {
  // Only a part of a long name, so that name and suffix fit the 255 bytes of a file name.
  constexpr std::size_t kMostOfTheName = 255 - 1 - kRandomDigits - kSuffix.size();
  const std::size_t name = target.rfind('/') + 1;  // npos + 1 = 0
  return {target.substr(0, name), target.substr(name, kMostOfTheName)};
}

std::string random_name(const Place& place) {
  std::uint64_t number = 0;
  while (::getrandom(&number, sizeof(number), 0) != static_cast<ssize_t>(sizeof(number))) {
  }
  return fmt::format("{}{}.{:016x}{}", place.folder, place.name, number, kSuffix);
}

bool is_temporary_of(const Place& place, std::string_view name) {
  if (name.size() != place.name.size() + 1 + kRandomDigits + kSuffix.size() ||
      !name.starts_with(place.name) || !name.ends_with(kSuffix) || name[place.name.size()] != '.') {
    return false;
  }
  const std::string_view digits = name.substr(place.name.size() + 1, kRandomDigits);
  return std::all_of(digits.begin(), digits.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_same_file(const std::string& path, const struct stat& status) {
  struct stat named {};
  return ::lstat(path.c_str(), &named) == 0 && named.st_dev == status.st_dev &&
         named.st_ino == status.st_ino;
}

/// Removes `path` if it is a file of this user that no living process has locked.
void remove_if_abandoned(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (file.valid() && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) &&
      status.st_uid == ::geteuid() && try_lock_whole_file(file) == 0) {
    ::unlink(path.c_str());
  }
}

void remove_abandoned(const Place& place) {
  struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
  };
  const std::unique_ptr<DIR, CloseFolder> folder(
      ::opendir(place.folder.empty() ? "." : place.folder.c_str()));
  if (folder == nullptr) return;  // creating the file says why
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own
  while (const dirent* entry = ::readdir(folder.get())) {
    if (is_temporary_of(place, entry->d_name)) remove_if_abandoned(place.folder + entry->d_name);
  }
}

}  // namespace

int try_lock_whole_file(const FileDescriptor& file) {
  struct flock request {};
  request.l_type = F_WRLCK;
  request.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_OFD_SETLK, &request) == 0) return 0;
  return errno == EACCES ? EAGAIN : errno;
}

TemporaryFile::TemporaryFile(std::string target) : target_(std::move(target)) {
  constexpr int kTries = 100;
  const Place place = place_of(target_);
  remove_abandoned(place);
  for (int i = 0; i < kTries; ++i) {
    const std::string path = random_name(place);
    FileDescriptor file(
        ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666));
    if (!file.valid() && errno == EEXIST) continue;
    if (!file.valid()) {
      throw OutputError(fmt::format("cannot create {}: {}", target_, system_reason()));
    }
    // Another process that looks for abandoned files may have been faster than the lock.
    struct stat status {};
    const bool lost = try_lock_whole_file(file) == EAGAIN || ::fstat(file.get(), &status) != 0 ||
                      !is_same_file(path, status);
    if (lost) continue;
    path_ = path;
    file_ = std::move(file);
    return;
  }
  throw OutputError(fmt::format("cannot create {}: no free name for a temporary file", target_));
}

TemporaryFile::TemporaryFile(TemporaryFile&& other) noexcept
    : target_(std::move(other.target_)),
      path_(std::exchange(other.path_, {})),
      file_(std::move(other.file_)) {}

TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void TemporaryFile::publish() {
  if (::fsync(file_.get()) != 0) {
    throw IoError(fmt::format("syncing {} failed: {}", path_, system_reason()));
  }
  if (std::rename(path_.c_str(), target_.c_str()) != 0) {
    throw IoError(fmt::format("renaming {} to {} failed: {}", path_, target_, system_reason()));
  }
  path_.clear();
  sync_parent_folder(target_);
}

}  // namespace gridmill
