#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/h5/handle.hpp"

namespace gridmill::h5 {

/// Kind of the values of a column.
enum class ColumnKind : std::uint8_t {
  integer,  ///< int64
  number,   ///< float64
  boolean,  ///< h5py's bool
  text,     ///< UTF-8 of any length
  ids,      ///< a list of int32 of any length
  numbers,  ///< a list of float32 of any length
};

/// A dataset [N] of a TableFile under construction, written from the front in blocks. Must be gone
/// before the file is closed.
class Column {
 public:
  [[nodiscard]] ColumnKind kind() const { return kind_; }
  /// The next elements. @throws IoError; InternalError for another kind, or more than N.
  void append(std::span<const std::int64_t> values);
  void append(std::span<const double> values);
  /// Booleans: 0 or 1.
  void append(std::span<const std::uint8_t> values);
  /// A text ends at its first 0 byte.
  void append(std::span<const std::string> texts);
  void append(std::span<const std::vector<std::int32_t>> lists);
  void append(std::span<const std::vector<float>> lists);

 private:
  friend class TableFile;
  Column(Handle dataset, std::string where, ColumnKind kind, std::uint64_t rows)
      : dataset_(std::move(dataset)), where_(std::move(where)), kind_(kind), rows_(rows) {}
  void write(ColumnKind kind, std::uint64_t count, const void* elements);

  Handle dataset_;
  std::string where_;
  ColumnKind kind_;
  std::uint64_t rows_;
  std::uint64_t written_ = 0;
};

/// Writes an HDF5 file of columns of one length. Its bytes depend on what is put into it alone.
/// One thread at a time uses HDF5.
class TableFile {
 public:
  /// Creates (or empties) `path` with root attributes `format` and `format_version` = 1.
  /// @throws OutputError
  [[nodiscard]] static TableFile create(const std::string& path, const std::string& format);
  /// Groups on the way to `object` are made. @throws IoError
  [[nodiscard]] Column add_column(const std::string& object, ColumnKind kind, std::uint64_t rows);
  void write_text_attribute(const std::string& object, const std::string& name,
                            const std::string& text);
  void write_integer_attribute(const std::string& object, const std::string& name,
                               std::int64_t value);
  /// @throws IoError
  void close();

 private:
  TableFile() = default;
  void write_attribute(const std::string& object, const std::string& name, std::int64_t type,
                       const void* value);
  std::string path_;
  Handle handle_;
};

}  // namespace gridmill::h5
