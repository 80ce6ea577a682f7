# The cuda backend. Kernels (.cu) are compiled by nvcc, each operation in a file of its own; all else
# is C++. tests/support/cuda_emulation compiles the same kernels for the host.
set(GRIDMILL_CUDA_KERNELS cuda/attention.cu cuda/attention_rotate.cu cuda/attention_tensor.cu cuda/filter.cu cuda/limits.cu cuda/mlstm.cu
  cuda/mlstm_cell.cu cuda/mlstm_factors.cu cuda/experts.cu cuda/product.cu cuda/product_tiled.cu cuda/rows.cu cuda/select.cu)
list(APPEND GRIDMILL_KERNEL_SOURCES
  ${GRIDMILL_CUDA_KERNELS}
  cuda/attention_operations.cpp
  cuda/benchmark.cpp
  cuda/cuda_backend.cpp
  cuda/cuda_stream.cpp
  cuda/device_choice.cpp
  cuda/entry.cpp
  cuda/expert_operations.cpp
  cuda/filter_operations.cpp
  cuda/graph_cache.cpp
  cuda/kv_cache.cpp
  cuda/mlstm_state.cpp
  cuda/nvcc/library_product.cpp
  cuda/nvcc/runtime.cpp
  cuda/packing.cpp
  cuda/panels.cpp
  cuda/product_operations.cpp
  cuda/row_operations.cpp
  cuda/sequence_operations.cpp)
if(TARGET NCCL::nccl)
  list(APPEND GRIDMILL_KERNEL_SOURCES cuda/nccl_exchange.cpp)
else()
  list(APPEND GRIDMILL_KERNEL_SOURCES cuda/without_nccl.cpp)
endif()
# Multiply-adds are fused where the source says so and nowhere else; constants of base/numerics are
# shared with device code.
set_source_files_properties(${GRIDMILL_CUDA_KERNELS} PROPERTIES
  COMPILE_OPTIONS "-fmad=false;--expt-relaxed-constexpr;-diag-suppress=554"
  INCLUDE_DIRECTORIES "${CMAKE_CURRENT_SOURCE_DIR}/cuda/nvcc")
