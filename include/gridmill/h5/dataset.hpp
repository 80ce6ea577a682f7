#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/h5/element_type.hpp"
#include "gridmill/h5/handle.hpp"

namespace gridmill::h5 {

/// An open dataset. What a read takes is checked before memory is taken for it: elements that lie
/// in the file as they are have to be there; others, which HDF5 unpacks, and its chunks, may take
/// 256 MiB or the size of the file, whichever is more. May outlive its File, unless that one was
/// created for writing.
///
/// Thread-safety: HDF5 is not; only read_rows() of a dataset with an offset() goes around HDF5
/// (pread) and may be called by several threads at once.
class Dataset {
 public:
  /// "FILE:/path" for messages.
  [[nodiscard]] const std::string& where() const { return where_; }
  [[nodiscard]] const ElementType& type() const { return type_; }
  /// Extent of each axis; empty for a scalar.
  [[nodiscard]] const std::vector<std::uint64_t>& shape() const { return shape_; }
  [[nodiscard]] std::uint64_t element_count() const;
  /// Elements of one row, the product of all extents but the first; 1 for a scalar.
  [[nodiscard]] std::uint64_t row_elements() const;
  /// Rows of one chunk, 1 if the dataset has none: reading whole chunks unpacks each once.
  [[nodiscard]] std::uint64_t rows_per_chunk() const { return rows_per_chunk_; }
  /// Where the first byte lies in the file, if the elements lie there one after the other,
  /// row-major and little-endian, exactly as read_rows() returns them.
  [[nodiscard]] std::optional<std::uint64_t> offset() const { return offset_; }

  /// Elements of rows [first, first + count), which can be read: see above.
  /// @throws FormatError if they are not there, or take too much.
  [[nodiscard]] std::size_t checked_elements(std::uint64_t first, std::uint64_t count) const;

  /// Rows [first, first + count) of the first axis, little-endian and row-major, without conversion
  /// of the kind. A scalar has one row.
  /// @param out  count * row_elements() * type().size_bytes bytes.
  /// @throws FormatError if the rows are not there, the file is cut short or the kind cannot be
  /// read as bytes (variable_text, other); IoError.
  void read_rows(std::uint64_t first, std::uint64_t count, std::span<std::byte> out) const;

  /// Rows [first, first + count) converted to T. Integers out of T's range are clipped to it.
  /// @throws FormatError for text and compounds, and for floats if T is an integer.
  template <typename T>
  [[nodiscard]] std::vector<T> read_rows_as(std::uint64_t first, std::uint64_t count) const {
    std::vector<T> values(checked_elements(first, count));
    read_converted(KindOf<T>::value, first, count, values.data());
    return values;
  }
  /// All elements converted to T, row-major.
  template <typename T>
  [[nodiscard]] std::vector<T> read_as() const {
    return read_rows_as<T>(0, shape_.empty() ? 1 : shape_[0]);
  }
  /// All elements of a dataset of text (of fixed or variable length).
  [[nodiscard]] std::vector<std::string> read_texts() const;

  /// Replaces rows [first, first + count) by bytes as stored. For files under creation.
  /// @throws IoError
  void write_rows(std::uint64_t first, std::uint64_t count, std::span<const std::byte> bytes);

 private:
  friend class File;
  Dataset() = default;
  [[nodiscard]] std::uint64_t most_unpacked_bytes() const;
  void read_converted(Kind kind, std::uint64_t first, std::uint64_t count, void* out) const;

  Handle handle_;
  std::string where_;
  std::string path_;  // of the file
  ElementType type_;
  std::vector<std::uint64_t> shape_;
  std::uint64_t rows_per_chunk_ = 1;
  std::uint64_t file_bytes_ = 0;
  std::optional<std::uint64_t> offset_;
  std::shared_ptr<const FileDescriptor> bytes_;  // null for a file under creation
};

}  // namespace gridmill::h5
