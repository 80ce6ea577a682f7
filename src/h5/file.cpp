#include "gridmill/h5/file.hpp"

#include <algorithm>
#include <optional>

#include "element_type_detail.hpp"
#include "gridmill/base/printable.hpp"
#include "inside.hpp"
#include "layout.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

namespace {

constexpr hsize_t kDatasetAlignmentBytes = 4096;  // a page: raw data shares none with metadata

Handle reading_access(const std::string& path) {
  Handle access =
      detail::own<InternalError>(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "preparing access", path);
  detail::check<InternalError>(H5Pset_file_locking(access.id(), false, true), "switching locks off",
                               path);
  return access;
}

Handle writing_access(const std::string& path) {
  Handle access = reading_access(path);
  // Superblock 0: HDF5 of any age reads it, and it has no "open for writing" flag that a kill
  // leaves.
  detail::check<InternalError>(
      H5Pset_libver_bounds(access.id(), H5F_LIBVER_EARLIEST, H5F_LIBVER_V18),
      "choosing the file format", path);
  // Threshold 1: small datasets too. Neither kind of data comes out of a shared small block then.
  for (const herr_t result : {H5Pset_alignment(access.id(), 1, kDatasetAlignmentBytes),
                              H5Pset_meta_block_size(access.id(), kDatasetAlignmentBytes),
                              H5Pset_small_data_block_size(access.id(), 0)}) {
    detail::check<InternalError>(result, "choosing the alignment", path);
  }
  return access;
}

Handle without_times(hid_t list_class, const std::string& where) {
  Handle list = detail::own<InternalError>(H5Pcreate(list_class), H5Pclose, "preparing", where);
  detail::check<InternalError>(H5Pset_obj_track_times(list.id(), false), "switching times off",
                               where);
  return list;
}

Handle with_intermediate_groups(const std::string& where) {
  Handle list =
      detail::own<InternalError>(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "preparing", where);
  detail::check<InternalError>(H5Pset_create_intermediate_group(list.id(), 1), "preparing", where);
  return list;
}

extern "C" herr_t gridmill_h5_collect_link(hid_t /*group*/, const char* name,
                                           const H5L_info_t* /*info*/, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

LinkKind link_kind(hid_t file, const std::string& object, const std::string& where) {
  const detail::LinksInside inside(where);
  const bool there = H5Oexists_by_name(file, object.c_str(), inside.id()) > 0;
  inside.require_none_met();
  if (!there) return LinkKind::other;
  const Handle handle(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
  switch (handle.valid() ? H5Iget_type(handle.id()) : H5I_BADID) {
    case H5I_GROUP:
      return LinkKind::group;
    case H5I_DATASET:
      return LinkKind::dataset;
    default:
      return LinkKind::other;
  }
}

std::vector<std::uint64_t> shape_of(hid_t dataset, const std::string& where) {
  const Handle space = detail::own(H5Dget_space(dataset), H5Sclose, "reading the extent", where);
  const int rank =
      detail::check(H5Sget_simple_extent_ndims(space.id()), "reading the extent", where);
  std::vector<hsize_t> extent(static_cast<std::size_t>(rank));
  detail::check(H5Sget_simple_extent_dims(space.id(), extent.data(), nullptr), "reading the extent",
                where);
  return {extent.begin(), extent.end()};
}

}  // namespace

File File::open(const std::string& path) {
  detail::quiet_library();
  File file;
  file.path_ = path;
  file.bytes_ = std::make_shared<const FileDescriptor>(open_for_reading(path));
  const Handle access = reading_access(path);
  file.handle_ = Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
  if (!file.handle_.valid()) {
    throw FormatError(fmt::format("{} is not an HDF5 file, or is damaged or cut short: {}", path,
                                  detail::innermost_reason()));
  }
  return file;
}

File File::create(const std::string& path) {
  detail::quiet_library();
  File file;
  file.path_ = path;
  file.created_ = true;
  const Handle access = writing_access(path);
  const Handle creation = without_times(H5P_FILE_CREATE, path);
  file.handle_ =
      Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.id(), access.id()), H5Fclose);
  if (!file.handle_.valid()) {
    throw OutputError(fmt::format("cannot create {}: {}", path, detail::innermost_reason()));
  }
  return file;
}

bool File::exists(const std::string& object) const {
  if (object == "/") return true;
  const detail::LinksInside inside(where(object));
  // H5Lexists fails unless everything on the way exists, hence step by step.
  bool there = true;
  for (std::size_t at = object.find('/', 1); there; at = object.find('/', at + 1)) {
    const std::string part = object.substr(0, at);
    there = H5Lexists(handle_.id(), part.c_str(), inside.id()) > 0;
    if (at == std::string::npos) break;
  }
  there = there && H5Oexists_by_name(handle_.id(), object.c_str(), inside.id()) > 0;
  inside.require_none_met();
  return there;
}

std::vector<Link> File::links(const std::string& group) const {
  const Handle root = open_object(group);
  std::vector<std::string> names;
  detail::check(H5Lvisit(root.id(), H5_INDEX_NAME, H5_ITER_INC, gridmill_h5_collect_link, &names),
                "listing", where(group));
  std::vector<Link> links;
  links.reserve(names.size());
  for (const std::string& name : names) {
    if (!is_utf8(name)) {
      throw FormatError(fmt::format("{}: the link '{}' is named in another encoding than UTF-8",
                                    where(group), printable(name)));
    }
    const std::string path = (group == "/" ? "" : group) + "/" + name;
    links.push_back({path, link_kind(handle_.id(), path, where(path))});
  }
  return links;
}

Handle File::open_object(const std::string& object) const {
  if (!exists(object)) throw FormatError(fmt::format("{} is missing", where(object)));
  return detail::own(H5Oopen(handle_.id(), object.c_str(), H5P_DEFAULT), H5Oclose, "opening",
                     where(object));
}

Dataset File::dataset(const std::string& object) const {
  Dataset dataset;
  dataset.where_ = where(object);
  dataset.path_ = path_;
  dataset.bytes_ = bytes_;
  dataset.handle_ = open_object(object);
  const hid_t id = dataset.handle_.id();
  if (H5Iget_type(id) != H5I_DATASET) {
    throw FormatError(fmt::format("{} is not a dataset", dataset.where_));
  }
  detail::require_readable_here(id, dataset.where_);  // before HDF5 looks for parts elsewhere
  dataset.shape_ = shape_of(id, dataset.where_);
  const Handle type = detail::own(H5Dget_type(id), H5Tclose, "reading the type", dataset.where_);
  const detail::Recognised found = detail::recognise(type.id());
  dataset.type_ = found.type;
  const detail::Layout layout = detail::layout_of(id, dataset.where_);
  if (found.as_stored) dataset.offset_ = layout.offset;
  dataset.rows_per_chunk_ = layout.rows_per_chunk;
  if (bytes_ != nullptr) dataset.file_bytes_ = file_size(*bytes_, path_);
  const std::uint64_t chunk_bytes =
      detail::saturating_product(layout.chunk_elements, dataset.type_.size_bytes);
  if (chunk_bytes > dataset.most_unpacked_bytes()) {
    throw FormatError(fmt::format(
        "{} has chunks of {} bytes, more than {} MiB and more than the file; rewrite it with "
        "smaller chunks (h5repack)",
        dataset.where_, chunk_bytes, detail::kMostUnpackedBytes >> 20));
  }
  return dataset;
}

std::string File::read_text(const std::string& object) const {
  const Dataset found = dataset(object);
  const Kind kind = found.type().kind;
  if (kind == Kind::u8 || kind == Kind::i8) {
    const std::uint64_t rows = found.shape().empty() ? 1 : found.shape()[0];
    std::string text(found.checked_elements(0, rows), '\0');
    found.read_rows(0, rows, std::as_writable_bytes(std::span(text)));
    return text;
  }
  std::vector<std::string> texts = found.read_texts();
  if (texts.size() != 1) {
    throw FormatError(fmt::format("{} holds {} texts, expected one", found.where(), texts.size()));
  }
  return std::move(texts.front());
}

void File::create_group(const std::string& object) {
  const Handle links = with_intermediate_groups(where(object));
  const Handle creation = without_times(H5P_GROUP_CREATE, where(object));
  const Handle group = detail::own<IoError>(
      H5Gcreate2(handle_.id(), object.c_str(), links.id(), creation.id(), H5P_DEFAULT), H5Gclose,
      "creating the group", where(object));
}

Dataset File::create_dataset(const std::string& object, ElementType type,
                             const std::vector<std::uint64_t>& shape) {
  const std::string name = where(object);
  const Handle stored = detail::make_type(type);
  const std::vector<hsize_t> extent(shape.begin(), shape.end());
  const Handle space =
      shape.empty() ? detail::own<IoError>(H5Screate(H5S_SCALAR), H5Sclose, "creating", name)
                    : detail::own<IoError>(
                          H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr),
                          H5Sclose, "creating", name);
  const Handle creation = without_times(H5P_DATASET_CREATE, name);
  // Strings of variable length lie in a heap behind pointers, which must not be garbage.
  const H5D_fill_time_t fill =
      type.kind == Kind::variable_text ? H5D_FILL_TIME_IFSET : H5D_FILL_TIME_NEVER;
  for (const herr_t result : {H5Pset_layout(creation.id(), H5D_CONTIGUOUS),
                              H5Pset_alloc_time(creation.id(), H5D_ALLOC_TIME_EARLY),
                              H5Pset_fill_time(creation.id(), fill)}) {
    detail::check<InternalError>(result, "choosing the layout", name);
  }
  const Handle links = with_intermediate_groups(name);
  Dataset dataset;
  dataset.where_ = name;
  dataset.path_ = path_;
  dataset.type_ = type;
  dataset.shape_ = shape;
  dataset.handle_ =
      detail::own<IoError>(H5Dcreate2(handle_.id(), object.c_str(), stored.id(), space.id(),
                                      links.id(), creation.id(), H5P_DEFAULT),
                           H5Dclose, "creating the dataset", name);
  dataset.offset_ = detail::layout_of(dataset.handle_.id(), name).offset;
  return dataset;
}

void File::write_text(const std::string& object, std::string_view text) {
  create_dataset(object, ElementType::of(Kind::u8), {text.size()})
      .write_rows(0, text.size(), std::as_bytes(std::span(text)));
}

std::optional<std::string> root_format_of(const std::string& path) {
  detail::quiet_library();
  if (H5Fis_hdf5(path.c_str()) <= 0) return std::nullopt;
  try {
    const File file = File::open(path);
    return file.has_attribute("/", "format") ? file.read_text_attribute("/", "format") : "";
  } catch (const Error&) {
    return "";  // damaged, or another kind of attribute: no format of ours
  }
}

void File::close() {
  if (!handle_.valid()) return;
  if (created_) {
    // The library keeps a file open as long as any of its objects is.
    if (H5Fget_obj_count(handle_.id(), H5F_OBJ_ALL) != 1) {
      throw InternalError(fmt::format("{} is closed while its objects are still open", path_));
    }
    detail::check<IoError>(H5Fflush(handle_.id(), H5F_SCOPE_GLOBAL), "writing", path_);
  }
  detail::check<IoError>(handle_.reset(), "closing", path_);
  bytes_.reset();
}

}  // namespace gridmill::h5
