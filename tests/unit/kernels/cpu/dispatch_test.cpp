#include "kernels/cpu/dispatch.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "gridmill/base/error.hpp"
#include "kernels/cpu/trial.hpp"

namespace gridmill::cpu {
namespace {

TEST(KernelTarget, AutoIsTheFastestThatRunsHereAndSaysSo) {
  const KernelChoice choice = choose_kernels("auto", DType::bf16);
  EXPECT_EQ(choice.why.find(std::string(choice.table.target) + ": the fastest"), 0U) << choice.why;
  double chosen = 0;
  double best = 0;
  for (const char* target : {"avx512bf16", "avx512", "avx2"}) {
    try {
      const ProductTrial trial = try_product(kernels_for(target, DType::bf16));
      EXPECT_TRUE(trial.exact) << target;
      EXPECT_NE(choice.why.find(target), std::string::npos) << choice.why;
      best = std::max(best, trial.flop_per_s);
      if (std::string(target) == choice.table.target) chosen = trial.flop_per_s;
    } catch (const ResourceError&) {
      // This CPU lacks it: the next one.
    }
  }
  // Targets differ by factors of 1.3 to 2 and more; a disturbed trial may err by less.
  EXPECT_GT(chosen, 0.5 * best);
}

TEST(KernelTarget, ATrialCatchesWrongProducts) {
  KernelTable table = kernels_for("auto", DType::bf16);
  table.product = [](const ProductArgs& args, const Worker& /*worker*/) {
    for (std::int64_t i = 0; i < args.out.rows * args.out.stride; ++i) args.out.data[i] = 1.0F;
  };
  EXPECT_FALSE(try_product(table).exact);
}

TEST(KernelTarget, KernelsForCodesBelongToTheTargetOrAreTheBest) {
  const KernelTable best = kernels_for("auto", DType::bf16);
  EXPECT_NE(best.int8.product, nullptr);
  EXPECT_NE(best.int4.product, nullptr);
  EXPECT_EQ(kernels_for("avx2", DType::bf16).int8.product, avx2::kInt8Kernels.product);
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) {
    EXPECT_EQ(best.int8.product, avx512vnni::kInt8Kernels.product);
    EXPECT_EQ(kernels_for("avx512", DType::bf16).int4.product, avx512::kInt4Kernels.product);
  }
  EXPECT_EQ(kernels_for("auto", DType::fp32).int8.product, nullptr);
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
