#pragma once

#include <string>

namespace gridmill::cli {

/// Versions of libraries that only some builds have; empty = not built in.
struct LibraryVersions {
  std::string mpi;
  std::string hdf5;
};

/// Text of `gridmill --version`.
[[nodiscard]] std::string version_text(const LibraryVersions& libraries);

}  // namespace gridmill::cli
