#include <algorithm>
#include <cstring>

#include "element_type_detail.hpp"
#include "gridmill/h5/file.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

namespace {

std::string attribute_place(const std::string& where, const std::string& name) {
  return fmt::format("{}, attribute '{}'", where, name);
}

extern "C" herr_t gridmill_h5_collect_attribute(hid_t /*object*/, const char* name,
                                                const H5A_info_t* /*info*/, void* names) {
  static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return 0;
}

void require_one_element(hid_t attribute, const std::string& place) {
  const Handle space = detail::own(H5Aget_space(attribute), H5Sclose, "reading the extent", place);
  if (H5Sget_simple_extent_npoints(space.id()) != 1) {
    throw FormatError(fmt::format("{} has several values or none, expected one", place));
  }
}

Handle create_attribute(hid_t object, const std::string& name, hid_t type,
                        const std::string& place) {
  const Handle space = detail::own<IoError>(H5Screate(H5S_SCALAR), H5Sclose, "creating", place);
  return detail::own<IoError>(
      H5Acreate2(object, name.c_str(), type, space.id(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
      "creating", place);
}

}  // namespace

bool File::has_attribute(const std::string& object, const std::string& name) const {
  return exists(object) &&
         H5Aexists_by_name(handle_.id(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<std::string> File::attribute_names(const std::string& object) const {
  const Handle owner = open_object(object);
  std::vector<std::string> names;
  hsize_t at = 0;
  detail::check(H5Aiterate2(owner.id(), H5_INDEX_NAME, H5_ITER_INC, &at,
                            gridmill_h5_collect_attribute, &names),
                "listing the attributes", where(object));
  std::sort(names.begin(), names.end());
  return names;
}

Handle File::open_attribute(const std::string& object, const std::string& name) const {
  const std::string place = attribute_place(where(object), name);
  if (!has_attribute(object, name)) throw FormatError(fmt::format("{} is missing", place));
  Handle attribute = detail::own(
      H5Aopen_by_name(handle_.id(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose, "opening", place);
  require_one_element(attribute.id(), place);
  return attribute;
}

std::string File::read_text_attribute(const std::string& object, const std::string& name) const {
  const std::string place = attribute_place(where(object), name);
  const Handle attribute = open_attribute(object, name);
  const Handle type = detail::own(H5Aget_type(attribute.id()), H5Tclose, "reading the type", place);
  if (H5Tget_class(type.id()) != H5T_STRING) {
    throw FormatError(fmt::format("{} is not a text", place));
  }
  if (H5Tis_variable_str(type.id()) > 0) {
    char* value = nullptr;
    detail::check(H5Aread(attribute.id(), type.id(), &value), "reading", place);
    std::string text = value == nullptr ? "" : value;
    H5free_memory(value);
    return text;
  }
  const std::size_t bytes = H5Tget_size(type.id());
  if (bytes_ != nullptr && bytes > file_size(*bytes_, path_)) {
    throw FormatError(fmt::format("{} claims {} bytes, more than the file has", place, bytes));
  }
  std::string text(bytes, '\0');
  detail::check(H5Aread(attribute.id(), type.id(), text.data()), "reading", place);
  text.resize(::strnlen(text.data(), text.size()));
  return text;
}

std::int64_t File::read_integer_attribute(const std::string& object,
                                          const std::string& name) const {
  const std::string place = attribute_place(where(object), name);
  const Handle attribute = open_attribute(object, name);
  const Handle type = detail::own(H5Aget_type(attribute.id()), H5Tclose, "reading the type", place);
  if (H5Tget_class(type.id()) != H5T_INTEGER && H5Tget_class(type.id()) != H5T_ENUM) {
    throw FormatError(fmt::format("{} is not an integer", place));
  }
  std::int64_t value = 0;
  detail::check(H5Aread(attribute.id(), H5T_NATIVE_INT64, &value), "reading", place);
  return value;
}

double File::read_number_attribute(const std::string& object, const std::string& name) const {
  const std::string place = attribute_place(where(object), name);
  const Handle attribute = open_attribute(object, name);
  const Handle type = detail::own(H5Aget_type(attribute.id()), H5Tclose, "reading the type", place);
  if (H5Tget_class(type.id()) != H5T_INTEGER && H5Tget_class(type.id()) != H5T_FLOAT) {
    throw FormatError(fmt::format("{} is not a number", place));
  }
  double value = 0;
  detail::check(H5Aread(attribute.id(), H5T_NATIVE_DOUBLE, &value), "reading", place);
  return value;
}

void File::write_text_attribute(const std::string& object, const std::string& name,
                                std::string_view text) {
  const std::string place = attribute_place(where(object), name);
  if (text.find('\0') != std::string_view::npos) {
    throw InternalError(fmt::format("{}: a text attribute cannot hold a 0 byte", place));
  }
  const Handle owner = open_object(object);
  const Handle type = detail::make_type(ElementType::of(Kind::variable_text));
  const Handle attribute = create_attribute(owner.id(), name, type.id(), place);
  const std::string terminated(text);
  const char* const value = terminated.c_str();
  detail::check<IoError>(H5Awrite(attribute.id(), type.id(), &value), "writing", place);
}

void File::write_integer_attribute(const std::string& object, const std::string& name,
                                   std::int64_t value) {
  const std::string place = attribute_place(where(object), name);
  const Handle owner = open_object(object);
  const Handle attribute = create_attribute(owner.id(), name, H5T_STD_I64LE, place);
  detail::check<IoError>(H5Awrite(attribute.id(), H5T_NATIVE_INT64, &value), "writing", place);
}

}  // namespace gridmill::h5
