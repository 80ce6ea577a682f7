#include "gridmill/output/output_target.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {

namespace {

namespace fs = std::filesystem;

/// Status of the target of `path`; empty if it does not exist.
std::optional<struct stat> status_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) return status;
  return std::nullopt;
}

bool is_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/// Whether two paths name one file; of files that do not exist yet, one place.
bool is_same_place(const std::string& a, const std::string& b) {
  const auto at_a = status_of(a);
  const auto at_b = status_of(b);
  if (at_a && at_b) return is_same(*at_a, *at_b);
  if (at_a || at_b) return false;
  const fs::path end_a = follow_links(a);
  const fs::path end_b = follow_links(b);
  const auto folder = [](const fs::path& path) {
    return status_of(path.has_parent_path() ? path.parent_path().string() : ".");
  };
  const auto folder_a = folder(end_a);
  const auto folder_b = folder(end_b);
  return folder_a && folder_b && is_same(*folder_a, *folder_b) &&
         end_a.filename() == end_b.filename();
}

/// The file of `input` that `path` is; empty if it is none.
std::string met_file(const std::string& path, const CommandInput& input) {
  if (input.path.empty()) return "";
  std::error_code ignored;
  if (!fs::is_directory(input.path, ignored)) {
    return is_same_place(path, input.path) ? input.path : "";
  }
  fs::directory_iterator entry(input.path, ignored);
  for (; !ignored && entry != fs::directory_iterator(); entry.increment(ignored)) {
    std::string file = entry->path().string();
    if (is_same_place(path, file)) return file;
  }
  return "";
}

void refuse_inputs(const std::string& path, const OutputRules& rules) {
  std::vector<std::string> endings = {""};
  endings.insert(endings.end(), rules.side_files.begin(), rules.side_files.end());
  for (const std::string& ending : endings) {
    const std::string written = ending.empty() ? path : follow_links(path) + ending;
    for (const CommandInput& input : rules.inputs) {
      const std::string met = met_file(written, input);
      if (met.empty()) continue;
      throw UsageError(fmt::format(
          "{} {} would write {}, which is the same file as {} of {}: the input would be "
          "destroyed; name another file",
          rules.name, path, written, met, input.name));
    }
  }
}

/// Whether the last link on the way stands for an open file of a process.
bool leads_to_open_file(const std::string& followed) {
  struct stat link {};
  struct statfs system {};
  const std::string folder = fs::path(followed).parent_path().string();
  return ::lstat(followed.c_str(), &link) == 0 && S_ISLNK(link.st_mode) &&
         ::statfs(folder.empty() ? "." : folder.c_str(), &system) == 0 &&
         system.f_type == PROC_SUPER_MAGIC;
}

const char* kind_of(const struct stat& status) {
  if (S_ISFIFO(status.st_mode)) return "a FIFO";
  if (S_ISSOCK(status.st_mode)) return "a socket";
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) return "a device";
  return "an open file of a process";
}

std::string described(const std::string& format) {
  if (format == "gridmill-results") return "a result file of gridmill";
  if (format == "gridmill-checkpoint") return "a checkpoint of gridmill";
  if (format == "gridmill-scores") return "a score file of gridmill";
  return "an HDF5 file of another program";
}

/// A file that is there already, regular.
void refuse_to_destroy(const std::string& path, const struct stat& status,
                       const OutputRules& rules) {
  if (rules.use == OutputUse::continued && status.st_nlink > 1) {
    throw OutputError(fmt::format(
        "{} has {} names (hard links): a run under each could write it at once, and a backup made "
        "of links would change with it; make a copy, or remove the other names",
        path, status.st_nlink));
  }
  if (status.st_size == 0) return;
  const std::optional<std::string> format = h5::root_format_of(path);
  if (!format || (!rules.format.empty() && *format == rules.format)) return;
  // The owner of a file that is continued looks at it closely, and repairs it.
  if (rules.use == OutputUse::continued && !format->starts_with("gridmill-")) return;
  throw OutputError(
      fmt::format("{} {} is {}, which would be destroyed; name another file, or remove this one",
                  rules.name, path, described(*format)));
}

/// N of "/proc/self/fd/N" or "/proc/<this process>/fd/N".
std::optional<int> own_descriptor(const std::string& path) {
  const fs::path place(path);
  std::error_code problem;
  if (!fs::equivalent(place.parent_path(), "/proc/self/fd", problem)) return std::nullopt;
  const std::string name = place.filename().string();
  int number = -1;
  const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (code != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

}  // namespace

OutputTarget OutputTarget::decide(const std::string& path, const OutputRules& rules) {
  if (path.empty()) throw UsageError(fmt::format("{} is empty, expected a file name", rules.name));
  const std::string followed = follow_links(path);
  const std::optional<struct stat> status = status_of(path);
  if (!status && errno != ENOENT) {
    throw OutputError(fmt::format("cannot create {}: {}", path, system_reason()));
  }
  if (status && S_ISDIR(status->st_mode)) {
    throw OutputError(fmt::format("{} {} is a folder, expected a file", rules.name, path));
  }
  refuse_inputs(path, rules);
  const bool stream = (status && !S_ISREG(status->st_mode)) || leads_to_open_file(followed);
  if (stream) {
    if (rules.format.empty()) return {followed, true};
    throw UsageError(
        fmt::format("{} {} is {}: HDF5 is written at offsets, which needs a file; name a file",
                    rules.name, path, status ? kind_of(*status) : "an open file of a process"));
  }
  if (status) refuse_to_destroy(followed, *status, rules);
  return {followed, false};
}

FileDescriptor OutputTarget::open_stream() const {
  // Opened by its name, a file behind /dev/stdout would be written from its beginning.
  const std::optional<int> open_already = own_descriptor(path_);
  FileDescriptor file(open_already ? ::fcntl(*open_already, F_DUPFD_CLOEXEC, 0)
                                   : ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file.valid())
    throw OutputError(fmt::format("cannot write to {}: {}", path_, system_reason()));
  return file;
}

std::vector<CommandInput> result_file_inputs(const std::string& path) {
  const std::string end = follow_links(path);
  return {
      {"the result file", path}, {"its run log", end + ".runs.jsonl"}, {"its lock", end + ".lock"}};
}

}  // namespace gridmill
