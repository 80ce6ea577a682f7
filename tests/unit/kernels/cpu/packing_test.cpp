#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <ios>
#include <memory>
#include <tuple>
#include <vector>

#include "kernels/cpu/bf16_rounding.hpp"
#include "kernels/cpu/cpu_backend.hpp"
#include "kernels/row_elements.hpp"

namespace gridmill::cpu {
namespace {

constexpr std::int64_t kLanes = 48;

/// Bytes that pass for elements of any dtype, subnormals, infinities and NaNs among them.
std::vector<std::byte> scattered(std::size_t count) {
  std::vector<std::byte> bytes(count);
  std::uint32_t state = 12345;
  for (std::byte& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    const std::uint32_t high = state >> 24;
    byte = static_cast<std::byte>(state % 7 == 0 ? 0 : high % 5 == 0 ? 0x7F : high);
  }
  return bytes;
}

/// Of a panel: element k of a lane, as bits.
std::uint32_t packed_bits(const std::vector<std::byte>& panel, DType compute, std::int64_t k,
                          std::int64_t lane, std::int64_t lanes) {
  if (compute == DType::fp32) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, panel.data() + (k * lanes + lane) * 4, sizeof bits);
    return bits;
  }
  Bf16 bits = 0;
  const std::int64_t element = lanes == 1 ? k : (k / 2 * lanes + lane) * 2 + k % 2;
  std::memcpy(&bits, panel.data() + element * 2, sizeof bits);
  return bits;
}

TEST(FlushedBf16, EqualsRoundingItsFp32) {
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<Bf16>(bits);
    ASSERT_EQ(flushed_bf16(half), rounded_bf16(bf16_to_fp32(half))) << std::hex << bits;
  }
}

class CpuPanel : public ::testing::TestWithParam<std::tuple<DType, DType, MatrixLayout>> {};

TEST_P(CpuPanel, HoldsEveryElementRoundedOnceWhereProductsLookForIt) {
  const auto [compute, source, layout] = GetParam();
  const std::unique_ptr<Backend> backend =
      make_cpu_backend({.compute_dtype = compute, .threads = 1});
  const std::int64_t lanes = layout == MatrixLayout::rows ? 1 : kLanes;
  for (const std::int64_t inputs : {1, 2, 3, 7, 31, 32, 33, 63, 64, 65, 127, 130, 193}) {
    const std::size_t row_bytes = static_cast<std::size_t>(inputs) * size_of(source);
    // One byte off, since rows of a file are not aligned.
    const std::vector<std::byte> rows = scattered(1 + row_bytes * static_cast<std::size_t>(lanes));
    std::vector<const std::byte*> from;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const bool absent = lanes > 1 && lane % 11 == 5;
      from.push_back(absent ? nullptr
                            : rows.data() + 1 + static_cast<std::size_t>(lane) * row_bytes);
    }
    const MatrixShape shape{.outputs = lanes, .inputs = inputs};
    std::vector<std::byte> panel(backend->panel_bytes(shape, layout), std::byte{0xAA});
    backend->pack_panel(shape, layout, source, from, panel);
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const std::byte* row = from[static_cast<std::size_t>(lane)];
      for (std::int64_t k = 0; k < inputs; ++k) {
        const float value = row == nullptr ? 0.0F : kernels_detail::element_of_row(row, source, k);
        const std::uint32_t expected =
            compute == DType::bf16 ? rounded_bf16(value) : std::bit_cast<std::uint32_t>(value);
        ASSERT_EQ(packed_bits(panel, compute, k, lane, lanes), expected)
            << "input " << k << " of " << inputs << ", lane " << lane;
      }
      if (compute == DType::bf16 && lanes > 1 && inputs % 2 != 0) {
        ASSERT_EQ(packed_bits(panel, compute, inputs, lane, lanes), 0U) << "the odd one's partner";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Packing, CpuPanel,
    ::testing::Combine(::testing::Values(DType::fp32, DType::bf16),
                       ::testing::Values(DType::fp32, DType::bf16, DType::fp16),
                       ::testing::Values(MatrixLayout::panels, MatrixLayout::rows)));

}  // namespace
}  // namespace gridmill::cpu
