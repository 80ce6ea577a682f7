# NCCL::nccl, if there is one: beside the CUDA toolkit, or below NCCL_ROOT (variable or environment) with include/ and lib/,
# e.g. site-packages/nvidia/nccl of a Python environment, whose library has the name libnccl.so.2 alone.
set(nccl_roots "${NCCL_ROOT}" "$ENV{NCCL_ROOT}")
list(FILTER nccl_roots EXCLUDE REGEX "^$")
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${nccl_roots} ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 NAMES_PER_DIR HINTS ${nccl_roots} ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib)
if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY AND NOT TARGET NCCL::nccl)
  add_library(NCCL::nccl UNKNOWN IMPORTED)
  set_target_properties(NCCL::nccl PROPERTIES IMPORTED_LOCATION "${NCCL_LIBRARY}"
                        INTERFACE_INCLUDE_DIRECTORIES "${NCCL_INCLUDE_DIR}")
endif()
