#define GRIDMILL_CPU_TARGET avx2
#define GRIDMILL_CPU_NATIVE_BF16 0
#include "kernels/cpu/target_table.hpp"
