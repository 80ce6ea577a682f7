#include "gridmill/results/row_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

class PosixRowFile final : public RowFile {
 public:
  PosixRowFile(FileDescriptor file, std::string path)
      : file_(std::move(file)), path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const override { return path_; }

  void read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    read_exactly(file_, offset, bytes, path_);
  }

  void write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    write_exactly(file_, offset, bytes, path_);
  }

  void sync() override {
    if (::fdatasync(file_.get()) != 0) {
      throw IoError(fmt::format("syncing {} failed: {}", path_, system_reason()));
    }
    struct stat status {};
    if (::fstat(file_.get(), &status) == 0 && status.st_nlink == 0) {
      throw IoError(fmt::format("{} was removed while the job runs; its rows are lost", path_));
    }
  }

  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override {
    // Only the shared file position moves, which pread and pwrite do not use.
    const off_t data = ::lseek(file_.get(), static_cast<off_t>(offset), SEEK_DATA);
    if (data >= 0) return static_cast<std::uint64_t>(data);
    // ENXIO: no data up to the end. Other errors: not supported here, so read the data.
    return errno == ENXIO ? std::numeric_limits<std::uint64_t>::max() : offset;
  }

 private:
  FileDescriptor file_;
  std::string path_;
};

}  // namespace

std::unique_ptr<RowFile> open_row_file(const std::string& path, bool writable) {
  if (!writable) return std::make_unique<PosixRowFile>(open_for_reading(path), path);
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) {
    const std::string message =
        fmt::format("cannot open {} for writing: {}", path, system_reason());
    if (errno == ENOENT) throw MissingInputError(message);
    throw OutputError(message);
  }
  return std::make_unique<PosixRowFile>(std::move(file), path);
}

}  // namespace gridmill
