#include "kernels/cpu/dispatch.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill::cpu {
namespace {

TEST(KernelTarget, AutoIsTheWidestThatRunsHere) {
  const KernelTable& table = kernels_for("auto", DType::bf16);
  for (const char* target : {"avx512bf16", "avx512", "avx2"}) {
    try {
      const KernelTable& named = kernels_for(target, DType::bf16);
      EXPECT_STREQ(table.target, named.target);
      break;
    } catch (const ResourceError&) {
      // This CPU lacks it: the next one.
    }
  }
}

TEST(KernelTarget, AnUnknownNameIsRefusedWithTheKnownOnes) {
  try {
    static_cast<void>(kernels_for("sse2", DType::fp32));
    FAIL() << "sse2 was accepted";
  } catch (const UsageError& error) {
    for (const char* target : {"sse2", "auto", "avx512bf16", "avx512", "avx2"}) {
      EXPECT_NE(std::string(error.what()).find(target), std::string::npos) << error.what();
    }
  }
}

/// In the order of y += x . w that the contract does not have: even elements first.
void even_elements_first(const std::uint32_t* x, const std::uint32_t* w, float* y, int count) {
  const auto half = [](std::uint32_t pair, int which) {
    const std::uint32_t bits = which == 0 ? pair << 16U : pair & 0xFFFF0000U;
    float value = 0;
    static_assert(sizeof value == sizeof bits);
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  };
  for (int i = 0; i < count; ++i) {
    const float even = std::fma(half(x[i], 0), half(w[i], 0), y[i]);
    y[i] = std::fma(half(x[i], 1), half(w[i], 1), even);
  }
}

TEST(PairProductSelfTest, AcceptsTheTargetsOfThisCpu) {
  EXPECT_TRUE(pair_product_is_exact(kernels_for("auto", DType::bf16)));
}

TEST(PairProductSelfTest, CatchesAnotherOrderOfThePair) {
  KernelTable table = kernels_for("auto", DType::bf16);
  table.pair_product = even_elements_first;
  EXPECT_FALSE(pair_product_is_exact(table));
}

}  // namespace
}  // namespace gridmill::cpu
