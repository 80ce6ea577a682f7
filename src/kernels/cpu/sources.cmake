# The cpu backend. Kernels are compiled once per target, each target in one file with flags of its
# own; nothing else in the program is built for more than the baseline CPU (target.hpp).
list(APPEND GRIDMILL_KERNEL_SOURCES
  cpu/coded_avx2.cpp
  cpu/coded_avx512.cpp
  cpu/coded_avx512vnni.cpp
  cpu/cpu_backend.cpp
  cpu/dispatch.cpp
  cpu/expert_operations.cpp
  cpu/filter_operations.cpp
  cpu/kv_cache.cpp
  cpu/machine_limits.cpp
  cpu/memory.cpp
  cpu/mlstm_state.cpp
  cpu/packing.cpp
  cpu/product_operations.cpp
  cpu/recurrence_operations.cpp
  cpu/row_operations.cpp
  cpu/sequence_operations.cpp
  cpu/target_avx2.cpp
  cpu/target_avx512.cpp
  cpu/target_avx512bf16.cpp
  cpu/thread_pool.cpp
  cpu/trial.cpp)

set(GRIDMILL_AVX2_FLAGS -mavx2 -mfma -mf16c)
set(GRIDMILL_AVX512_FLAGS ${GRIDMILL_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 takes the undefined registers of its own AVX-512 headers for our mistakes (GCC PR105593).
  list(APPEND GRIDMILL_AVX512_FLAGS -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
set_source_files_properties(cpu/target_avx2.cpp cpu/coded_avx2.cpp PROPERTIES
  COMPILE_OPTIONS "${GRIDMILL_AVX2_FLAGS}")
set_source_files_properties(cpu/target_avx512.cpp cpu/coded_avx512.cpp PROPERTIES
  COMPILE_OPTIONS "${GRIDMILL_AVX512_FLAGS}")
set_source_files_properties(cpu/target_avx512bf16.cpp PROPERTIES
  COMPILE_OPTIONS "${GRIDMILL_AVX512_FLAGS};-mavx512bf16")
set_source_files_properties(cpu/coded_avx512vnni.cpp PROPERTIES
  COMPILE_OPTIONS "${GRIDMILL_AVX512_FLAGS};-mavx512vnni")
