#define GRIDMILL_CPU_TARGET avx512bf16
#define GRIDMILL_CPU_NATIVE_BF16 1
#include "kernels/cpu/target_table.hpp"
