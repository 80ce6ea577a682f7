#include "inside.hpp"

#include <array>
#include <cstddef>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "library_detail.hpp"

namespace gridmill::h5::detail {

namespace {

constexpr const char* kAdvice =
    "gridmill reads only what lies in the named file; write the data into it, for example with "
    "h5py";

extern "C" herr_t gridmill_h5_refuse_external(const char* /*parent_file*/,
                                              const char* /*parent_group*/, const char* child_file,
                                              const char* child_object, unsigned* /*flags*/,
                                              hid_t /*access*/, void* met) {
  static_cast<std::string*>(met)->assign(child_file).append(":").append(child_object);
  return -1;
}

[[noreturn]] void refuse(const std::string& where, const char* how, const std::string& place) {
  throw FormatError(fmt::format("{} {} {}: {}", where, how, place, kAdvice));
}

/// A name that HDF5 copies into a buffer and cuts if it is longer.
using NameBuffer = std::array<char, 512>;

/// Whether the chunks need no filter number `place`: a writer that lacks an optional filter stores
/// chunks without it and says so.
bool leaves_out(hid_t dataset, unsigned place, const std::string& where) {
  const Handle space = own(H5Dget_space(dataset), H5Sclose, "reading the extent", where);
  hsize_t chunks = 0;
  if (H5Dget_num_chunks(dataset, space.id(), &chunks) >= 0 && chunks == 0) return true;
  unsigned skipped = 0;
  return H5Dget_chunk_info(dataset, space.id(), 0, nullptr, &skipped, nullptr, nullptr) >= 0 &&
         (skipped & (1U << place)) != 0;
}

void require_filters(hid_t dataset, hid_t creation, const std::string& where) {
  const int count = check(H5Pget_nfilters(creation), "reading the filters", where);
  for (int i = 0; i < count; ++i) {
    unsigned flags = 0;
    unsigned config = 0;
    std::size_t values = 0;
    NameBuffer name{};
    const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, name.size() - 1, name.data(), &config);
    check(static_cast<int>(filter), "reading the filters", where);
    if (H5Zfilter_avail(filter) > 0) continue;
    if (leaves_out(dataset, static_cast<unsigned>(i), where)) continue;
    throw FormatError(fmt::format(
        "{} is compressed by the filter '{}' (number {}), which this HDF5 does not have; write it "
        "again without, or with gzip, or set HDF5_PLUGIN_PATH to a folder with the filter",
        where, name[0] == '\0' ? "without a name" : name.data(), filter));
  }
}

}  // namespace

LinksInside::LinksInside(const std::string& where)
    : where_(where),
      access_(own<InternalError>(H5Pcreate(H5P_LINK_ACCESS), H5Pclose, "preparing access", where)) {
  check<InternalError>(H5Pset_elink_cb(access_.id(), gridmill_h5_refuse_external, &met_),
                       "preparing access", where);
}

void LinksInside::require_none_met() const {
  if (!met_.empty()) refuse(where_, "lies in another file, behind an external link to", met_);
}

void require_readable_here(hid_t dataset, const std::string& where) {
  const Handle creation = own(H5Dget_create_plist(dataset), H5Pclose, "reading the layout", where);
  NameBuffer name{};
  if (H5Pget_layout(creation.id()) == H5D_VIRTUAL) {
    if (H5Pget_virtual_filename(creation.id(), 0, name.data(), name.size() - 1) < 0) name[0] = '\0';
    refuse(where, "is a virtual dataset, made of parts of",
           name[0] == '\0' ? "other datasets" : name.data());
  }
  if (H5Pget_external_count(creation.id()) > 0) {
    if (H5Pget_external(creation.id(), 0, name.size() - 1, name.data(), nullptr, nullptr) < 0) {
      name[0] = '\0';
    }
    refuse(where, "keeps its bytes outside, in", name[0] == '\0' ? "another file" : name.data());
  }
  require_filters(dataset, creation.id(), where);
}

}  // namespace gridmill::h5::detail
