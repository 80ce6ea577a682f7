#include "kernels/reference/float_mode.hpp"

namespace gridmill::reference {

namespace {

// Bits of MXCSR: Intel SDM volume 1, section 10.2.3.
constexpr unsigned int kExceptionsMasked = 0x1F80;
constexpr unsigned int kDenormalsAreZero = 0x0040;
constexpr unsigned int kFlushToZero = 0x8000;

}  // namespace

FloatModeScope::FloatModeScope(DType compute_dtype) : saved_(__builtin_ia32_stmxcsr()) {
  __builtin_ia32_ldmxcsr(compute_dtype == DType::bf16
                             ? kExceptionsMasked | kDenormalsAreZero | kFlushToZero
                             : kExceptionsMasked);
}

FloatModeScope::~FloatModeScope() { __builtin_ia32_ldmxcsr(saved_); }

}  // namespace gridmill::reference
