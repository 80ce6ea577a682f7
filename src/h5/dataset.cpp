#include "gridmill/h5/dataset.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "element_type_detail.hpp"
#include "layout.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

namespace {

/// File and memory dataspaces for rows [first, first + count).
struct Slab {
  Handle file;
  Handle memory;
};

Slab select_rows(std::int64_t dataset, const std::vector<std::uint64_t>& shape, std::uint64_t first,
                 std::uint64_t count, const std::string& where) {
  Slab slab;
  slab.file = detail::own(H5Dget_space(dataset), H5Sclose, "reading the extent", where);
  if (shape.empty()) {
    slab.memory = detail::own(H5Screate(H5S_SCALAR), H5Sclose, "selecting rows", where);
    return slab;
  }
  std::vector<hsize_t> start(shape.size(), 0);
  std::vector<hsize_t> extent(shape.begin(), shape.end());
  start[0] = first;
  extent[0] = count;
  detail::check(H5Sselect_hyperslab(slab.file.id(), H5S_SELECT_SET, start.data(), nullptr,
                                    extent.data(), nullptr),
                "selecting rows", where);
  slab.memory =
      detail::own(H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
                  H5Sclose, "selecting rows", where);
  return slab;
}

bool is_float(Kind kind) {
  return kind == Kind::fp16 || kind == Kind::bf16 || kind == Kind::fp32 || kind == Kind::fp64;
}

bool is_numeric(Kind kind) { return kind <= Kind::boolean; }

}  // namespace

std::uint64_t Dataset::row_elements() const {
  std::uint64_t product = 1;
  for (std::size_t axis = 1; axis < shape_.size(); ++axis) product *= shape_[axis];
  return product;
}

std::uint64_t Dataset::element_count() const {
  return (shape_.empty() ? 1 : shape_[0]) * row_elements();
}

std::size_t Dataset::checked_elements(std::uint64_t first, std::uint64_t count) const {
  const std::uint64_t rows = shape_.empty() ? 1 : shape_[0];
  if (first > rows || count > rows - first) {
    throw FormatError(fmt::format("{} has {} rows; rows [{}, {}) were asked for", where_, rows,
                                  first, first + count));
  }
  // Extents come from the file: refuse a product that no memory can hold before allocating it.
  constexpr std::uint64_t kMostElements = std::numeric_limits<std::uint64_t>::max() / 64;
  std::uint64_t elements = count;
  for (std::size_t axis = 1; axis < shape_.size(); ++axis) {
    if (shape_[axis] != 0 && elements > kMostElements / shape_[axis]) {
      throw FormatError(fmt::format("{} claims an impossible number of elements", where_));
    }
    elements *= shape_[axis];
  }
  if (elements == 0 || bytes_ == nullptr) return elements;  // without bytes: under creation
  if (offset_) {
    const std::uint64_t end = detail::saturating_product(
        detail::saturating_product(first + count, row_elements()), type_.size_bytes);
    if (*offset_ > file_bytes_ || end > file_bytes_ - *offset_) {
      throw FormatError(fmt::format("{} is cut short: {} bytes from byte {} on, the file has {}",
                                    where_, end, *offset_, file_bytes_));
    }
    return static_cast<std::size_t>(elements);
  }
  constexpr std::uint64_t kLargestTarget = 8;  // of a conversion
  const std::uint64_t unpacked = detail::saturating_product(
      elements, std::max<std::uint64_t>(kLargestTarget, type_.size_bytes));
  if (unpacked > most_unpacked_bytes()) {
    throw FormatError(fmt::format(
        "{}: {} rows have {} elements, which take more than {} MiB and more than the file has",
        where_, count, elements, detail::kMostUnpackedBytes >> 20));
  }
  return static_cast<std::size_t>(elements);
}

std::uint64_t Dataset::most_unpacked_bytes() const {
  return std::max(detail::kMostUnpackedBytes, file_bytes_);
}

void Dataset::read_rows(std::uint64_t first, std::uint64_t count, std::span<std::byte> out) const {
  const std::size_t elements = checked_elements(first, count);
  if (type_.kind == Kind::variable_text || type_.kind == Kind::other) {
    throw FormatError(
        fmt::format("{} holds {}, which cannot be read as bytes", where_, name_of(type_)));
  }
  if (out.size() != elements * type_.size_bytes) {
    throw InternalError(fmt::format("{}: {} bytes of room for {} elements of {} bytes", where_,
                                    out.size(), elements, type_.size_bytes));
  }
  if (out.empty()) return;
  if (offset_ && bytes_ != nullptr) {
    read_exactly(*bytes_, *offset_ + first * row_elements() * type_.size_bytes, out, path_);
    return;
  }
  const Slab slab = select_rows(handle_.id(), shape_, first, count, where_);
  const Handle memory = detail::make_type(type_);
  detail::check(
      H5Dread(handle_.id(), memory.id(), slab.memory.id(), slab.file.id(), H5P_DEFAULT, out.data()),
      "reading", where_);
}

void Dataset::read_converted(Kind kind, std::uint64_t first, std::uint64_t count, void* out) const {
  if (!is_numeric(type_.kind) || (is_float(type_.kind) && !is_float(kind))) {
    throw FormatError(fmt::format("{} holds {}, expected {}", where_, name_of(type_),
                                  is_float(kind) ? "numbers" : "integers"));
  }
  const std::size_t elements = checked_elements(first, count);
  if (elements == 0) return;
  if (kind == type_.kind) {
    read_rows(first, count,
              {static_cast<std::byte*>(out), elements * ElementType::of(kind).size_bytes});
    return;
  }
  const Slab slab = select_rows(handle_.id(), shape_, first, count, where_);
  const Handle memory = detail::make_type(ElementType::of(kind));
  detail::check(
      H5Dread(handle_.id(), memory.id(), slab.memory.id(), slab.file.id(), H5P_DEFAULT, out),
      "reading", where_);
}

std::vector<std::string> Dataset::read_texts() const {
  const std::size_t elements = checked_elements(0, shape_.empty() ? 1 : shape_[0]);
  std::vector<std::string> texts;
  if (elements == 0) return texts;
  texts.reserve(elements);
  if (type_.kind == Kind::fixed_text) {
    std::vector<char> bytes(elements * type_.size_bytes);
    read_rows(0, shape_.empty() ? 1 : shape_[0], std::as_writable_bytes(std::span(bytes)));
    for (std::size_t i = 0; i < elements; ++i) {
      const char* const text = bytes.data() + i * type_.size_bytes;
      texts.emplace_back(text, ::strnlen(text, type_.size_bytes));
    }
    return texts;
  }
  if (type_.kind != Kind::variable_text) {
    throw FormatError(fmt::format("{} holds {}, expected text", where_, name_of(type_)));
  }
  std::vector<char*> pointers(elements, nullptr);
  const Handle memory =
      detail::own(H5Dget_type(handle_.id()), H5Tclose, "reading the type", where_);
  const Handle space =
      detail::own(H5Dget_space(handle_.id()), H5Sclose, "reading the extent", where_);
  detail::check(H5Dread(handle_.id(), memory.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, pointers.data()),
                "reading", where_);
  for (const char* const text : pointers) texts.emplace_back(text == nullptr ? "" : text);
  H5Dvlen_reclaim(memory.id(), space.id(), H5P_DEFAULT, pointers.data());
  return texts;
}

void Dataset::write_rows(std::uint64_t first, std::uint64_t count,
                         std::span<const std::byte> bytes) {
  const std::size_t elements = checked_elements(first, count);
  if (bytes.size() != elements * type_.size_bytes) {
    throw InternalError(fmt::format("{}: {} bytes given for {} elements of {} bytes", where_,
                                    bytes.size(), elements, type_.size_bytes));
  }
  if (bytes.empty()) return;
  const Slab slab = select_rows(handle_.id(), shape_, first, count, where_);
  const Handle memory = detail::make_type(type_);
  detail::check<IoError>(H5Dwrite(handle_.id(), memory.id(), slab.memory.id(), slab.file.id(),
                                  H5P_DEFAULT, bytes.data()),
                         "writing", where_);
}

}  // namespace gridmill::h5
