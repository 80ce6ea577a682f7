# The libraries that gridmill links, found on the system without network. Read by our own build and
# by find_package(gridmill).
include("${CMAKE_CURRENT_LIST_DIR}/GridmillFewLibraries.cmake")
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

# Packed prompts and exports.
find_package(ZLIB REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)

# HMAC-SHA-256 for the side channel. HDF5 of Debian links it anyway.
find_package(OpenSSL REQUIRED COMPONENTS Crypto)

# The serial driver on purpose: rows are written with pwrite, parameters are read with pread.
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)

# The C bindings only: the C++ ones were removed from MPI-3.
set(MPI_CXX_SKIP_MPICXX TRUE)
find_package(MPI REQUIRED COMPONENTS C)
