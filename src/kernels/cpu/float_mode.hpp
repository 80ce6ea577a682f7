#pragma once

#include "gridmill/base/dtype.hpp"

namespace gridmill::cpu {

/// Sets the calling thread's floating-point mode for one operation: nearest even, exceptions
/// masked; subnormals are kept in fp32 and 0 (inputs and results) in bf16 mode.
class FloatMode {
 public:
  explicit FloatMode(DType compute_dtype) : saved_(__builtin_ia32_stmxcsr()) {
    // MXCSR: Intel SDM volume 1, section 10.2.3.
    constexpr unsigned int kExceptionsMasked = 0x1F80;
    constexpr unsigned int kDenormalsAreZero = 0x0040;
    constexpr unsigned int kFlushToZero = 0x8000;
    __builtin_ia32_ldmxcsr(compute_dtype == DType::bf16
                               ? kExceptionsMasked | kDenormalsAreZero | kFlushToZero
                               : kExceptionsMasked);
  }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;
  ~FloatMode() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  unsigned int saved_;
};

}  // namespace gridmill::cpu
