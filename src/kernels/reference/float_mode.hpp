#pragma once

#include "gridmill/base/dtype.hpp"

namespace gridmill::reference {

/// Floating-point mode of this thread while it lives: round to nearest, exceptions masked, and in
/// bf16 mode subnormal inputs (DAZ) and results (FTZ) are 0 (docs/numerics.md, section 1).
/// Constructor and destructor are out of line, so the compiler moves no arithmetic across them.
class FloatModeScope {
 public:
  explicit FloatModeScope(DType compute_dtype);
  FloatModeScope(const FloatModeScope&) = delete;
  FloatModeScope& operator=(const FloatModeScope&) = delete;
  ~FloatModeScope();

 private:
  unsigned int saved_;
};

}  // namespace gridmill::reference
