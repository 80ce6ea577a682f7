#define GRIDMILL_CPU_TARGET avx2
#define GRIDMILL_CPU_NATIVE_BF16 0
#include "kernels/cpu/coded_table.hpp"
