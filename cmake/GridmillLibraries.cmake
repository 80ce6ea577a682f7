# The libraries that gridmill links, found on the system without network. Read by our own build and
# by find_package(gridmill).
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)

# The serial driver on purpose: rows are written with pwrite, parameters are read with pread.
set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)

# The C bindings only: the C++ ones were removed from MPI-3.
set(MPI_CXX_SKIP_MPICXX TRUE)
find_package(MPI REQUIRED COMPONENTS C)

find_package(Boost REQUIRED COMPONENTS program_options)

if(GRIDMILL_CUDA)
  find_package(CUDAToolkit REQUIRED)
endif()
