#include "layout.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>

#include "library_detail.hpp"

namespace gridmill::h5::detail {

Layout layout_of(std::int64_t id, const std::string& where) {
  const Handle list = own(H5Dget_create_plist(id), H5Pclose, "reading the layout", where);
  Layout layout;
  const H5D_layout_t kind = H5Pget_layout(list.id());
  if (kind == H5D_CONTIGUOUS) {
    const haddr_t offset = H5Dget_offset(id);
    if (offset != HADDR_UNDEF) layout.offset = offset;  // else nothing was stored, or elsewhere
  } else if (kind == H5D_CHUNKED) {
    std::array<hsize_t, H5S_MAX_RANK> extent{};
    const int rank = check(H5Pget_chunk(list.id(), H5S_MAX_RANK, extent.data()),
                           "reading the size of chunks", where);
    layout.rows_per_chunk = std::max<std::uint64_t>(1, extent[0]);
    for (std::size_t axis = 0; axis < static_cast<std::size_t>(rank); ++axis) {
      layout.chunk_elements = saturating_product(layout.chunk_elements, extent[axis]);
    }
  }
  return layout;
}

std::uint64_t saturating_product(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return b != 0 && a > kMost / b ? kMost : a * b;
}

}  // namespace gridmill::h5::detail
