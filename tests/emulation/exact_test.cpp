#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/cuda_under_test.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/row_cases.hpp"
#include "unit/kernels/select_cases.hpp"
#include "unit/kernels/sequence_cases.hpp"

// Where the cuda numerics keep an order of docs/numerics.md, the bits are those of the reference.
namespace gridmill::testing {
namespace {

class ExactOnCuda : public ::testing::Test {
 protected:
  void TearDown() override { cuda_.check_and_clear(); }
  TestDevice cuda_{make_cuda(DType::fp32)};
  TestDevice reference_{make_backend("reference", {.compute_dtype = DType::fp32})};
};

TEST_F(ExactOnCuda, RowParallelProductsAreTheFixedBlocksAndTree) {
  for (const ProductCase& one : product_cases()) {
    EXPECT_TRUE(same_bits(run_row_parallel(cuda_, one), run_row_parallel(reference_, one)))
        << text(one);
    EXPECT_TRUE(same_bits(run_joined(cuda_, one, 4), run_joined(reference_, one, 4))) << text(one);
    cuda_.check_and_clear();
    reference_.check_and_clear();
  }
}

TEST_F(ExactOnCuda, RowsAndTablesAreMovedAsTheyAre) {
  for (const std::int64_t rows : {0, 1, 2, 7}) {
    EXPECT_TRUE(same_bits(run_pack_rows(cuda_, rows), run_pack_rows(reference_, rows))) << rows;
  }
  for (const EmbedCase& one : embed_cases()) {
    EXPECT_TRUE(same_bits(run_embed(cuda_, one), run_embed(reference_, one))) << text(one);
  }
}

TEST_F(ExactOnCuda, PartsOfTheOlderLayer) {
  for (const OlderCase& one : older_cases()) {
    EXPECT_TRUE(same_bits(run_channel_affine(cuda_, one), run_channel_affine(reference_, one)))
        << text(one);
    EXPECT_TRUE(same_bits(run_block_diagonal(cuda_, one), run_block_diagonal(reference_, one)))
        << text(one);
    EXPECT_TRUE(same_bits(run_skip_gate(cuda_, one), run_skip_gate(reference_, one))) << text(one);
  }
}

TEST_F(ExactOnCuda, SelectionFromTheSameLogits) {
  for (const SelectCase& one : select_cases()) {
    const SelectData data = select_data(one);
    EXPECT_TRUE(same_partials(run_select(cuda_, one, data),
                              select_from_logits(run_logits(cuda_, one, data), data.rows)))
        << text(one);
  }
}

TEST_F(ExactOnCuda, TheMlstmStateWithoutQueryNorm) {
  for (const MlstmCase& one : mlstm_cases()) {
    if (one.qk_norm) continue;  // its norm sums in another order
    const auto states = [&](TestDevice& device) {
      std::vector<std::vector<float>> all;
      for (const SequenceResult& result : run_mlstm(device, one, all_of(one.lengths.size(), 3))) {
        all.push_back(result.state);
      }
      return all;
    };
    const auto expected = states(reference_);
    const auto actual = states(cuda_);
    for (std::size_t s = 0; s < expected.size(); ++s) {
      EXPECT_TRUE(same_bits(actual[s], expected[s])) << text(one) << " sequence " << s;
    }
  }
}

TEST_F(ExactOnCuda, TheKvCacheWithoutKeyNorm) {
  for (const AttentionCase& one : attention_cases()) {
    if (one.qk_norm) continue;
    const auto expected = run_attention(reference_, one, all_of(one.lengths.size(), 9));
    const auto actual = run_attention(cuda_, one, all_of(one.lengths.size(), 9));
    for (std::size_t s = 0; s < expected.size(); ++s) {
      EXPECT_TRUE(same_bits(actual[s].state, expected[s].state)) << text(one) << " sequence " << s;
    }
  }
}

/// out = act(x), for every activation: the elementary functions of device code are those of
/// base/numerics.
TEST_F(ExactOnCuda, ElementaryFunctions) {
  std::vector<float> arguments = {0.0F,
                                  -0.0F,
                                  0x1p-140F,
                                  -0x1p-126F,
                                  std::numeric_limits<float>::infinity(),
                                  -std::numeric_limits<float>::infinity(),
                                  std::numeric_limits<float>::quiet_NaN()};
  for (int i = -12000; i < 12000; ++i) arguments.push_back(0.0099F * static_cast<float>(i));
  for (int exponent = -100; exponent < 100; ++exponent) {
    arguments.push_back(std::ldexp(1.37F, exponent));
    arguments.push_back(-std::ldexp(1.37F, exponent));
  }
  Matrix row({1, static_cast<std::int64_t>(arguments.size())});
  row.flat() = arguments;
  const DeviceMatrix x = cuda_.matrix(row);
  const ConstDeviceVector one = cuda_.vector(std::vector<float>(arguments.size(), 1.0F));
  for (int kind = 0; kind < 7; ++kind) {
    const auto activation = static_cast<Activation>(kind);
    const DeviceMatrix out = cuda_.matrix(1, row.extent(1));
    cuda_.backend().channel_affine(cuda_.stream(), x, one, {}, activation, out);
    std::vector<float> expected;
    expected.reserve(arguments.size());
    for (const float argument : arguments) expected.push_back(activate_f32(activation, argument));
    EXPECT_TRUE(same_bits(std::span<const float>(cuda_.download(out).flat()),
                          std::span<const float>(expected)))
        << kind;
  }
}

}  // namespace
}  // namespace gridmill::testing
