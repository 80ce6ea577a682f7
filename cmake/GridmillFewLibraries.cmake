# The libraries of a build without MPI and HDF5, as this system has them.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
find_package(Boost REQUIRED COMPONENTS program_options)

if(GRIDMILL_CUDA)
  find_package(CUDAToolkit REQUIRED)
  include("${CMAKE_CURRENT_LIST_DIR}/GridmillNccl.cmake")
endif()
