#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace gridmill::h5::detail {

/// How the elements of a dataset lie in its file.
struct Layout {
  std::optional<std::uint64_t> offset;  ///< if they lie in one piece, and in this file
  std::uint64_t rows_per_chunk = 1;
  std::uint64_t chunk_elements = 1;
};

/// Layout of the dataset `id`.
/// @throws FormatError
[[nodiscard]] Layout layout_of(std::int64_t id, const std::string& where);

/// The largest number instead of one that does not fit.
[[nodiscard]] std::uint64_t saturating_product(std::uint64_t a, std::uint64_t b);

/// Limit of rows and chunks that HDF5 unpacks, if the file itself is not larger: a few
/// bytes may claim to stand for gigabytes.
constexpr std::uint64_t kMostUnpackedBytes = std::uint64_t{256} << 20;

}  // namespace gridmill::h5::detail
