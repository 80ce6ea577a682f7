# Stands in for src/kernels/cuda in a build without CUDA.
list(APPEND GRIDMILL_KERNEL_SOURCES cuda_stub/cuda_stub.cpp)
