#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace gridmill {

/// Bytes at offsets of a result file: all that writing and recovery need of an operating system.
/// Tests put failing disks and power cuts behind it. Safe for several threads at once.
class RowFile {
 public:
  RowFile() = default;
  RowFile(const RowFile&) = delete;
  RowFile& operator=(const RowFile&) = delete;
  virtual ~RowFile() = default;

  /// Names the file in messages.
  [[nodiscard]] virtual const std::string& path() const = 0;
  /// Fills `bytes`. @throws IoError, or FormatError if the file ends before.
  virtual void read(std::uint64_t offset, std::span<std::byte> bytes) const = 0;
  /// @throws IoError, also when the disk or quota is full.
  virtual void write(std::uint64_t offset, std::span<const std::byte> bytes) = 0;
  /// Makes all earlier writes of this process durable. @throws IoError; never to be retried: the
  /// kernel has dropped what it could not write.
  virtual void sync() = 0;
  /// First offset at or behind `offset` that may hold something else than zeros; holes are skipped
  /// without reading them.
  [[nodiscard]] virtual std::uint64_t next_data(std::uint64_t offset) const = 0;
};

/// @throws MissingInputError if there is no such file.
[[nodiscard]] std::unique_ptr<RowFile> open_row_file(const std::string& path, bool writable);

}  // namespace gridmill
