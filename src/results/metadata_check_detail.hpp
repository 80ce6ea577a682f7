#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/results/layout.hpp"

namespace gridmill::detail {

/// Bytes [begin, end) of a file.
struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  friend bool operator==(const Extent&, const Extent&) = default;
};

/// Raw data of the datasets, in order of their offsets; all else in the file is metadata.
[[nodiscard]] std::vector<Extent> data_extents(const ResultLayout& layout);

/// Notes the checksum of all metadata in a place that HDF5 leaves empty (docs/formats/results.md).
/// @throws InternalError if this version of HDF5 uses that place; IoError.
void write_metadata_check(const std::string& path, const ResultLayout& layout);

/// Whether the metadata are as gridmill wrote them.
[[nodiscard]] bool has_intact_metadata(const std::string& path);

/// Writes the metadata of `fresh`, an empty file with this layout, into the damaged `path`, if
/// they are what was there once: the checksum says so, or where it is damaged itself, all else.
/// Durable on return. @return whether they were, and are again. @throws IoError
[[nodiscard]] bool restore_metadata(const std::string& path, const std::string& fresh,
                                    const ResultLayout& layout);

}  // namespace gridmill::detail
