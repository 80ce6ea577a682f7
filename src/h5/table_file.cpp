#include "gridmill/h5/table_file.hpp"

#include <utility>

#include "element_type_detail.hpp"
#include "gridmill/h5/file.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

namespace {

Handle type_of(ColumnKind kind) {
  const auto list = [](hid_t element) {
    return detail::own<InternalError>(H5Tvlen_create(element), H5Tclose, "making a type", "HDF5");
  };
  switch (kind) {
    case ColumnKind::integer:
      return detail::make_type(ElementType::of(Kind::i64));
    case ColumnKind::number:
      return detail::make_type(ElementType::of(Kind::fp64));
    case ColumnKind::boolean:
      return detail::make_type(ElementType::of(Kind::boolean));
    case ColumnKind::text:
      return detail::make_type(ElementType::of(Kind::variable_text));
    case ColumnKind::ids:
      return list(H5T_STD_I32LE);
    case ColumnKind::numbers:
      return list(H5T_IEEE_F32LE);
  }
  throw InternalError("an unknown kind of column");
}

/// HDF5 takes pointers to what it copies, as if it could change it.
template <typename T>
std::vector<hvl_t> pointers_to(std::span<const std::vector<T>> lists) {
  std::vector<hvl_t> pointers;
  pointers.reserve(lists.size());
  for (const std::vector<T>& values : lists) {
    pointers.push_back({values.size(), const_cast<T*>(values.data())});  // NOLINT: see above
  }
  return pointers;
}

}  // namespace

void Column::write(ColumnKind kind, std::uint64_t count, const void* elements) {
  if (kind != kind_ || count > rows_ - written_) {
    throw InternalError(
        fmt::format("{} gets {} elements of another kind, or too many", where_, count));
  }
  if (count == 0) return;
  const Handle all = detail::own<IoError>(H5Dget_space(dataset_.id()), H5Sclose, "writing", where_);
  const hsize_t start = written_;
  const hsize_t extent = count;
  detail::check<IoError>(
      H5Sselect_hyperslab(all.id(), H5S_SELECT_SET, &start, nullptr, &extent, nullptr), "writing",
      where_);
  const Handle memory =
      detail::own<IoError>(H5Screate_simple(1, &extent, nullptr), H5Sclose, "writing", where_);
  const Handle type = type_of(kind_);
  detail::check<IoError>(
      H5Dwrite(dataset_.id(), type.id(), memory.id(), all.id(), H5P_DEFAULT, elements), "writing",
      where_);
  written_ += count;
}

void Column::append(std::span<const std::int64_t> values) {
  write(ColumnKind::integer, values.size(), values.data());
}
void Column::append(std::span<const double> values) {
  write(ColumnKind::number, values.size(), values.data());
}
void Column::append(std::span<const std::uint8_t> values) {
  write(ColumnKind::boolean, values.size(), values.data());
}
void Column::append(std::span<const std::string> texts) {
  std::vector<const char*> pointers;
  pointers.reserve(texts.size());
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  write(ColumnKind::text, texts.size(), pointers.data());
}
void Column::append(std::span<const std::vector<std::int32_t>> lists) {
  write(ColumnKind::ids, lists.size(), pointers_to(lists).data());
}
void Column::append(std::span<const std::vector<float>> lists) {
  write(ColumnKind::numbers, lists.size(), pointers_to(lists).data());
}

TableFile TableFile::create(const std::string& path, const std::string& format) {
  File empty = File::create(path);
  empty.write_text_attribute("/", "format", format);
  empty.write_integer_attribute("/", "format_version", 1);
  empty.close();
  TableFile table;
  table.path_ = path;
  const Handle access =
      detail::own<InternalError>(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "preparing access", path);
  detail::check<InternalError>(H5Pset_file_locking(access.id(), false, true), "switching locks off",
                               path);
  table.handle_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDWR, access.id()), H5Fclose);
  if (!table.handle_.valid()) {
    throw OutputError(fmt::format("cannot write {}: {}", path, detail::innermost_reason()));
  }
  return table;
}

Column TableFile::add_column(const std::string& object, ColumnKind kind, std::uint64_t rows) {
  const std::string where = path_ + ":" + object;
  const hsize_t extent = rows;
  const Handle space =
      detail::own<IoError>(H5Screate_simple(1, &extent, nullptr), H5Sclose, "creating", where);
  const Handle creation =
      detail::own<InternalError>(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "preparing", where);
  const Handle links =
      detail::own<InternalError>(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "preparing", where);
  for (const herr_t result :
       {H5Pset_obj_track_times(creation.id(), false), H5Pset_layout(creation.id(), H5D_CONTIGUOUS),
        H5Pset_create_intermediate_group(links.id(), 1)}) {
    detail::check<InternalError>(result, "preparing", where);
  }
  const Handle type = type_of(kind);
  return {detail::own<IoError>(H5Dcreate2(handle_.id(), object.c_str(), type.id(), space.id(),
                                          links.id(), creation.id(), H5P_DEFAULT),
                               H5Dclose, "creating the dataset", where),
          where, kind, rows};
}

void TableFile::write_attribute(const std::string& object, const std::string& name,
                                std::int64_t type, const void* value) {
  const std::string where = fmt::format("{}:{}, attribute '{}'", path_, object, name);
  const Handle owner = detail::own<IoError>(H5Oopen(handle_.id(), object.c_str(), H5P_DEFAULT),
                                            H5Oclose, "opening", where);
  const Handle space = detail::own<IoError>(H5Screate(H5S_SCALAR), H5Sclose, "creating", where);
  const Handle attribute = detail::own<IoError>(
      H5Acreate2(owner.id(), name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
      "creating", where);
  detail::check<IoError>(H5Awrite(attribute.id(), type, value), "writing", where);
}

void TableFile::write_text_attribute(const std::string& object, const std::string& name,
                                     const std::string& text) {
  const char* const pointer = text.c_str();
  write_attribute(object, name, type_of(ColumnKind::text).id(), &pointer);
}

void TableFile::write_integer_attribute(const std::string& object, const std::string& name,
                                        std::int64_t value) {
  write_attribute(object, name, H5T_STD_I64LE, &value);
}

void TableFile::close() {
  detail::check<IoError>(H5Fflush(handle_.id(), H5F_SCOPE_GLOBAL), "writing", path_);
  detail::check<IoError>(handle_.reset(), "closing", path_);
}

}  // namespace gridmill::h5
