list(APPEND GRIDMILL_KERNEL_SOURCES
  reference/attention.cpp
  reference/coded.cpp
  reference/compute.cpp
  reference/experts.cpp
  reference/float_mode.cpp
  reference/fma_loops.cpp
  reference/kv_cache.cpp
  reference/linear.cpp
  reference/memory.cpp
  reference/mlstm.cpp
  reference/mlstm_state.cpp
  reference/older_mlstm.cpp
  reference/packing.cpp
  reference/recurrence.cpp
  reference/row_parallel.cpp
  reference/rows.cpp
  reference/select.cpp)
