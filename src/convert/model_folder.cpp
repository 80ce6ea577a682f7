#include "convert/model_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <system_error>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

namespace fs = std::filesystem;

/// The largest tokenizer.json of a well-known model has 35 MB.
constexpr std::uint64_t kLargestText = std::uint64_t{256} << 20;

bool lies_in(const fs::path& file, const fs::path& folder) {
  const auto [rest, ignored] =
      std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return rest == folder.end();
}

/// The hub's cache keeps contents in MODEL/blobs and links to them in MODEL/snapshots/REVISION.
bool is_blob_of_snapshot(const fs::path& file, const fs::path& folder) {
  return folder.parent_path().filename() == "snapshots" &&
         file.parent_path() == folder.parent_path().parent_path() / "blobs";
}

}  // namespace

ModelFolder::ModelFolder(std::string path) : path_(std::move(path)) {
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;  // a link to nothing is an entry, too
    if (!entry->is_directory(ignored)) names_.push_back(entry->path().filename().string());
  }
  if (error) throw IoError(fmt::format("cannot list the folder {}: {}", path_, error.message()));
  std::sort(names_.begin(), names_.end());
}

std::string ModelFolder::place_of(std::string_view name) const {
  return path_ + "/" + std::string(name);
}

bool ModelFolder::has(std::string_view name) const {
  return std::binary_search(names_.begin(), names_.end(), name);
}

std::string ModelFolder::real_path_of(const std::string& name) const {
  const std::string place = place_of(name);
  std::error_code error;
  const fs::path folder = fs::canonical(path_, error);
  const fs::path file = error ? fs::path() : fs::canonical(place, error);
  if (error) {
    const bool is_link = fs::is_symlink(fs::symlink_status(place, error));
    throw MissingInputError(
        fmt::format("cannot read {}: {}", place,
                    is_link ? "it is a link, and what it points to is not there" : "no such file"));
  }
  if (!lies_in(file, folder) && !is_blob_of_snapshot(file, folder)) {
    throw FormatError(
        fmt::format("{} is a link that leaves its folder, to {}; a model folder may come from "
                    "somebody else, so put the file itself there",
                    place, file.string()));
  }
  return file.string();
}

FileDescriptor ModelFolder::open(const std::string& name) {
  const std::string real = real_path_of(name);
  const std::string place = place_of(name);
  read_.insert(name);
  // Without O_NONBLOCK the open of a FIFO waits for a writer; regular files ignore the flag.
  FileDescriptor file(::open(real.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file.valid() || ::fstat(file.get(), &status) != 0) {
    const std::string reason = std::strerror(errno);  // NOLINT(concurrency-mt-unsafe)
    throw MissingInputError(fmt::format("cannot read {}: {}", place, reason));
  }
  if (!S_ISREG(status.st_mode)) {
    throw FormatError(fmt::format("{} is {}, expected a regular file", place,
                                  S_ISDIR(status.st_mode)    ? "a folder"
                                  : S_ISFIFO(status.st_mode) ? "a FIFO"
                                                             : "a device or a socket"));
  }
  return file;
}

std::string ModelFolder::read(const std::string& name) {
  const FileDescriptor file = open(name);
  const std::string place = place_of(name);
  const std::uint64_t size = file_size(file, place);
  if (size > kLargestText) {
    throw FormatError(
        fmt::format("{} has {} bytes; at most {} are read", place, size, kLargestText));
  }
  std::string text(size, '\0');
  read_exactly(file, 0, std::as_writable_bytes(std::span(text)), place);
  return text;
}

std::optional<std::string> ModelFolder::read_if_there(const std::string& name) {
  if (!has(name)) return std::nullopt;
  return read(name);
}

}  // namespace gridmill::convert_detail
