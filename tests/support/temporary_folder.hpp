#pragma once

#include <stdlib.h>  // NOLINT(modernize-deprecated-headers): mkdtemp is POSIX

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace gridmill::test {

/// Whether every user of this host may go through `folder` and all folders above it.
inline bool open_to_others(std::filesystem::path folder) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (folder = fs::canonical(folder, error); !error; folder = folder.parent_path()) {
    if ((fs::status(folder, error).permissions() & fs::perms::others_exec) == fs::perms::none)
      return false;
    if (folder == folder.root_path()) return true;
  }
  return false;
}

/// Where temporary files of a test lie that another user takes part in: TMPDIR may be in a folder
/// that only its owner may enter. Without any such place TMPDIR, where that test then fails.
inline std::filesystem::path temporary_place_of_all_users() {
  for (const std::filesystem::path& place :
       {std::filesystem::temp_directory_path(), std::filesystem::path("/tmp"),
        std::filesystem::path("/var/tmp"), std::filesystem::path("/dev/shm")}) {
    if (open_to_others(place)) return place;
  }
  return std::filesystem::temp_directory_path();
}

/// An empty folder of its own for one test, gone with everything in it at the end.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(
      const std::filesystem::path& place = std::filesystem::temp_directory_path()) {
    std::string pattern = (place / "gridmill-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
      throw std::runtime_error("cannot make a temporary folder like " + pattern);
    }
    path_ = pattern;
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;  // a destructor does not throw
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Absolute path of `name` in the folder.
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  /// Writes `content` to `name`, making the folders on the way.
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path target = path_ / name;
    std::filesystem::create_directories(target.parent_path());
    std::ofstream file(target, std::ios::binary);
    file << content;
    file.close();
    if (!file) throw std::runtime_error("cannot write " + target.string());
    return target.string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace gridmill::test
