#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "gridmill/base/numerics.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/row_cases.hpp"

// Can the suite fail? Sections 2 and 3 of docs/numerics.md are written down here a second time,
// straight from logical matrices, with switches that break one rule each. Unbroken, they have to
// give the reference's bits in every case of the suite (so this is a check of the reference, too);
// with any switch thrown, the suite's cases and its comparison have to notice.
namespace gridmill::testing {
namespace {

enum class Mutation {
  none,
  swapped_k,           ///< inputs 0 and 2 of a chain change places
  split_fma,           ///< the last fma of a chain rounds its product
  even_first,          ///< bf16: the even one of a pair first
  turned_lane_tree,    ///< lanes join as l and l+1, +2, +4, +8
  sixteen_to_eight,    ///< 8 lanes instead of 16
  serial_blocks,       ///< blocks of a row-parallel product join from left to right
  blocks_not_rounded,  ///< blocks of ceil(K/8) inputs, not rounded up to even
};

float rounded(float value, DType dtype) {
  return dtype == DType::bf16 ? bf16_to_fp32(fp32_to_bf16(value)) : value;
}

/// One chain over inputs [first, end) of row x and row w.
float chain(std::span<const float> x, std::span<const float> w, std::int64_t first,
            std::int64_t end, DType dtype, Mutation mutation) {
  std::vector<std::int64_t> order;
  for (std::int64_t k = first; k < end; ++k) order.push_back(k);
  if (mutation == Mutation::swapped_k && order.size() > 2) std::swap(order[0], order[2]);
  if (dtype == DType::bf16 && mutation != Mutation::even_first) {
    for (std::size_t i = 0; i + 1 < order.size(); i += 2) std::swap(order[i], order[i + 1]);
  }
  float sum = 0.0F;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto k = static_cast<std::size_t>(order[i]);
    const float a = rounded(x[k], dtype);
    const float b = rounded(w[k], dtype);
    if (mutation == Mutation::split_fma && i + 1 == order.size()) {
      sum = sum + a * b;
    } else {
      sum = std::fma(a, b, sum);
    }
  }
  return sum;
}

/// The values as a checkpoint of `dtype` gives them back; only what the cases here use.
Matrix as_stored(Matrix values, DType dtype) {
  if (dtype == DType::bf16) {
    for (float& value : values.flat()) value = bf16_to_fp32(fp32_to_bf16(value));
  }
  return values;
}

Matrix contract_linear(const ProductCase& product, DType dtype, Mutation mutation) {
  const ProductData data = product_data(product);
  const Matrix w = as_stored(data.w, product.stored);
  Matrix out({product.rows, product.outputs});
  for (std::int64_t row = 0; row < product.rows; ++row) {
    for (std::int64_t o = 0; o < product.outputs; ++o) {
      float y = chain(data.x.view().row(row), w.view().row(o), 0, product.inputs, dtype, mutation);
      if (product.bias) y = y + data.bias[static_cast<std::size_t>(o)];
      out(row, o) =
          product.soft_cap == 0.0F ? y : product.soft_cap * tanh_f32(y / product.soft_cap);
    }
  }
  return out;
}

Matrix contract_row_parallel(const ProductCase& product, DType dtype, Mutation mutation) {
  const ProductData data = product_data(product);
  const Matrix w = as_stored(data.w, product.stored);
  const std::int64_t eighth = (product.inputs + 7) / 8;
  const std::int64_t block =
      mutation == Mutation::blocks_not_rounded ? eighth : (eighth + 1) / 2 * 2;
  Matrix out = data.before;
  for (std::int64_t row = 0; row < product.rows; ++row) {
    for (std::int64_t o = 0; o < product.outputs; ++o) {
      std::array<float, 8> b{};
      for (std::int64_t i = 0; i < 8; ++i) {
        b[static_cast<std::size_t>(i)] =
            chain(data.x.view().row(row), w.view().row(o), std::min(product.inputs, block * i),
                  std::min(product.inputs, block * (i + 1)), dtype, mutation);
      }
      float y = ((b[0] + b[1]) + (b[2] + b[3])) + ((b[4] + b[5]) + (b[6] + b[7]));
      if (mutation == Mutation::serial_blocks) {
        y = b[0] + b[1] + b[2] + b[3] + b[4] + b[5] + b[6] + b[7];
      }
      if (product.bias) y = y + data.bias[static_cast<std::size_t>(o)];
      out(row, o) = product.accumulate ? out(row, o) + y : y;
    }
  }
  return out;
}

float lane_join(std::array<float, 16> lanes, Mutation mutation) {
  if (mutation == Mutation::turned_lane_tree) {
    for (std::size_t step = 1; step < 16; step *= 2) {
      for (std::size_t l = 0; l < 16; l += 2 * step) lanes[l] = lanes[l] + lanes[l + step];
    }
    return lanes[0];
  }
  for (std::size_t half = 8; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lanes[l] = lanes[l] + lanes[l + half];
  }
  return lanes[0];
}

Matrix contract_norm_add(const NormCase& norm, Mutation mutation) {
  const NormData data = norm_data(norm);
  const std::size_t width = mutation == Mutation::sixteen_to_eight ? 8 : 16;
  const auto n = static_cast<float>(norm.columns);
  Matrix out = data.x;
  for (std::int64_t row = 0; row < norm.rows; ++row) {
    std::vector<float> d(data.y.view().row(row).begin(), data.y.view().row(row).end());
    if (norm.kind == NormKind::layer) {
      std::array<float, 16> sums{};
      for (std::size_t i = 0; i < d.size(); ++i) sums[i % width] = sums[i % width] + d[i];
      const float mean = lane_join(sums, mutation) / n;
      for (float& value : d) value = value - mean;
    }
    std::array<float, 16> squares{};
    for (std::size_t i = 0; i < d.size(); ++i) {
      squares[i % width] = mutation == Mutation::split_fma
                               ? squares[i % width] + d[i] * d[i]
                               : std::fma(d[i], d[i], squares[i % width]);
    }
    const float r = 1.0F / std::sqrt(lane_join(squares, mutation) / n + 1e-5F);
    for (std::size_t i = 0; i < d.size(); ++i) {
      float y = d[i] * r;
      if (norm.bias) {
        y = std::fma(y, data.weight[i], data.bias[i]);
      } else if (norm.weight) {
        y = y * data.weight[i];
      }
      const auto column = static_cast<std::int64_t>(i);
      out(row, column) = out(row, column) + y * norm_factor(norm);
    }
  }
  return out;
}

std::vector<ProductCase> cases_without_fp16() {
  std::vector<ProductCase> cases;
  for (const ProductCase& product : product_cases()) {
    if (product.stored != DType::fp16) cases.push_back(product);
  }
  return cases;
}

/// Number of the suite's cases in which the mutated contract differs from the reference.
int caught_in_linear(DType dtype, Mutation mutation) {
  TestDevice device(make_backend("reference", {.compute_dtype = dtype}));
  int caught = 0;
  for (const ProductCase& product : cases_without_fp16()) {
    if (!same_bits(run_linear(device, product), contract_linear(product, dtype, mutation))) {
      ++caught;
    }
    device.check_and_clear();
  }
  return caught;
}

int caught_in_row_parallel(DType dtype, Mutation mutation) {
  TestDevice device(make_backend("reference", {.compute_dtype = dtype}));
  int caught = 0;
  for (const ProductCase& product : cases_without_fp16()) {
    if (!same_bits(run_row_parallel(device, product),
                   contract_row_parallel(product, dtype, mutation))) {
      ++caught;
    }
    device.check_and_clear();
  }
  return caught;
}

int caught_in_norms(Mutation mutation) {
  TestDevice device(make_backend("reference", {}));
  int caught = 0;
  for (const NormCase& norm : norm_cases()) {
    if (!same_bits(run_norm_add(device, norm), contract_norm_add(norm, mutation))) ++caught;
  }
  return caught;
}

TEST(Contract, ReadASecondTimeGivesTheBitsOfTheReference) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    EXPECT_EQ(caught_in_linear(dtype, Mutation::none), 0);
    EXPECT_EQ(caught_in_row_parallel(dtype, Mutation::none), 0);
  }
  EXPECT_EQ(caught_in_norms(Mutation::none), 0);
}

TEST(Suite, CatchesTwoSwappedInputs) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    EXPECT_GT(caught_in_linear(dtype, Mutation::swapped_k), 0);
    EXPECT_GT(caught_in_row_parallel(dtype, Mutation::swapped_k), 0);
  }
}

TEST(Suite, CatchesOneSplitFma) {
  EXPECT_GT(caught_in_linear(DType::fp32, Mutation::split_fma), 0);
  EXPECT_GT(caught_in_row_parallel(DType::fp32, Mutation::split_fma), 0);
  EXPECT_GT(caught_in_norms(Mutation::split_fma), 0);
  // The product of two bf16 numbers is exact in fp32: there a split fma is the same arithmetic.
  EXPECT_EQ(caught_in_linear(DType::bf16, Mutation::split_fma), 0);
}

TEST(Suite, CatchesTheWrongOrderInsideABf16Pair) {
  EXPECT_GT(caught_in_linear(DType::bf16, Mutation::even_first), 0);
}

TEST(Suite, CatchesATurnedLaneTree) {
  EXPECT_GT(caught_in_norms(Mutation::turned_lane_tree), 0);
  EXPECT_GT(caught_in_norms(Mutation::sixteen_to_eight), 0);
}

TEST(Suite, CatchesAnotherJoinOrOtherBordersOfBlocks) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    EXPECT_GT(caught_in_row_parallel(dtype, Mutation::serial_blocks), 0);
    EXPECT_GT(caught_in_row_parallel(dtype, Mutation::blocks_not_rounded), 0);
  }
}

}  // namespace
}  // namespace gridmill::testing
