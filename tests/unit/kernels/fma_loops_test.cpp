#include "kernels/reference/fma_loops.hpp"

#include <gtest/gtest.h>

#include "kernels/reference/float_mode.hpp"
#include "unit/kernels/test_device.hpp"

// The reference runs on CPUs without an fma instruction, too: with the same bits.
namespace gridmill::testing {
namespace {

using reference::FmaLoops;
using reference::kPanelOutputs;
using reference::Lanes;

/// All results of one set of loops on the same data, some of it near the subnormal range.
std::vector<float> results(const FmaLoops& loops, DType mode, float scale) {
  const reference::FloatModeScope scope(mode);
  std::vector<float> all;
  for (const std::int64_t size : {1, 2, 7, 16, 50}) {
    Numbers numbers(static_cast<std::uint32_t>(size));
    const std::vector<float> a = numbers.vector(size, scale);
    const std::vector<float> b = numbers.vector(size, scale);
    const std::vector<float> panel = numbers.vector(size * kPanelOutputs, scale);
    std::vector<Bf16> panel_bf16;
    for (const float value : panel) panel_bf16.push_back(fp32_to_bf16(value));
    Lanes sums{};
    loops.panel_fp32(a.data(), panel.data(), size, sums.data());
    all.insert(all.end(), sums.begin(), sums.end());
    if (size % 2 == 0) {
      loops.panel_bf16(a.data(), panel_bf16.data(), size, sums.data());
      all.insert(all.end(), sums.begin(), sums.end());
    }
    all.push_back(loops.dot_fp32(a.data(), b.data(), size));
    all.push_back(loops.dot_bf16(a.data(), b.data(), size));
    std::vector<float> y = b;
    loops.multiply_add(a[0], a.data(), y.data(), size);
    loops.decay_add(a[0], b[0], a.data(), y.data(), size);
    all.insert(all.end(), y.begin(), y.end());
    loops.lanes_of_products(a.data(), b.data(), size, sums);
    all.insert(all.end(), sums.begin(), sums.end());
  }
  return all;
}

TEST(FmaLoops, TheLibrarysFmaGivesTheBitsOfTheInstruction) {
  for (const DType mode : {DType::fp32, DType::bf16}) {
    for (const float scale : {1.0F, 1e18F, 1e-18F, 3e-19F}) {
      EXPECT_TRUE(same_bits(results(reference::library_fma_loops(), mode, scale),
                            results(reference::fma_loops(), mode, scale)))
          << name_of(mode) << " scale " << scale;
    }
  }
}

}  // namespace
}  // namespace gridmill::testing
