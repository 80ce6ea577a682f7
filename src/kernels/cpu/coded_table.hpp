// The kernels for weights of codes of one instruction set: last include of a coded file, which has
// a translation unit of its own beside the target's. vpdpbusd and vdpbf16ps are separate features.
#pragma once

#include "kernels/cpu/coded.hpp"
#include "kernels/cpu/experts.hpp"
#include "kernels/cpu/products.hpp"
#include "kernels/cpu/select.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

template <class Codes>
constexpr CodedKernels make_coded_kernels() {
  using Steps = CodedSteps<Codes>;
  CodedKernels kernels{};
  kernels.quantize_rows = quantize_rows<Steps>;
  kernels.product = product<Steps>;
  kernels.experts_gated = experts_gated<Steps>;
  kernels.experts_down = experts_down<Steps>;
  kernels.select_blocks = select_blocks<Steps>;
  kernels.limit_product = limit_codes;
  return kernels;
}

constinit const CodedKernels kInt8Kernels = make_coded_kernels<Int8Codes>();
constinit const CodedKernels kInt4Kernels = make_coded_kernels<Int4Codes>();

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
