// Macros that a target file (target_*.cpp) sets before it includes the kernels.
//
// Each target file is one translation unit with its own -m flags, and everything it compiles lies
// in its own namespace: an inline function or template outside of it could be the copy that the
// linker keeps for the whole program, and would then run AVX-512 code on a machine without it.
// Hence kernels use plain structs, C arrays and their own helpers, never std:: templates or inline
// members of shared headers.
//
//   GRIDMILL_CPU_TARGET       namespace and name: avx512bf16, avx512, avx2; avx512vnni (codes only)
//   GRIDMILL_CPU_NATIVE_BF16  1 if vdpbf16ps may be used
#pragma once

#if !defined(GRIDMILL_CPU_TARGET) || !defined(GRIDMILL_CPU_NATIVE_BF16)
#error "include the kernels from a target file"
#endif

#define GRIDMILL_SIMD [[gnu::always_inline]] inline

/// Before a loop of constant length over registers: an array of accumulators lives in registers
/// only if such loops vanish.
#if defined(__clang__)
#define GRIDMILL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GRIDMILL_UNROLL _Pragma("GCC unroll 32")
#endif
