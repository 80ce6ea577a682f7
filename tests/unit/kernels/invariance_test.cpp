#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "unit/kernels/candidate_test.hpp"
#include "unit/kernels/expert_cases.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/row_cases.hpp"
#include "unit/kernels/select_cases.hpp"
#include "unit/kernels/sequence_cases.hpp"

// What a row may not depend on: its neighbours, how its prompt is cut, tp, fsdp runs.
namespace gridmill::testing {
namespace {

class Invariance : public CandidateTest {};

Matrix row_of(const Matrix& matrix, std::int64_t row) {
  Matrix single({1, matrix.extent(1)});
  std::copy_n(matrix.view().row(row).begin(), matrix.extent(1), single.flat().begin());
  return single;
}

/// What a product does to rows, as a function of them.
using RowFunction = std::function<Matrix(const Matrix& rows)>;

void expect_rows_alone(const Matrix& x, const RowFunction& function) {
  const Matrix together = function(x);
  for (std::int64_t row = 0; row < x.extent(0); ++row) {
    EXPECT_TRUE(same_bits(function(row_of(x, row)), row_of(together, row))) << "row " << row;
  }
}

constexpr std::int64_t kRows = 37;
constexpr std::int64_t kInputs = 67;
constexpr std::int64_t kOutputs = 50;

TEST_P(Invariance, ARowOfAProductIsThatOfTheRowAlone) {
  Numbers numbers(1);
  const Weight w = device().weight(numbers.matrix(kOutputs, kInputs));
  expect_rows_alone(numbers.matrix(kRows, kInputs), [&](const Matrix& rows) {
    const DeviceMatrix out = device().matrix(rows.extent(0), kOutputs);
    device().backend().linear(device().stream(), device().pack(rows), w, {}, 0.0F, out);
    return device().download(out);
  });
}

TEST_P(Invariance, ARowOfAGatedProductIsThatOfTheRowAlone) {
  Numbers numbers(2);
  const Weight w = device().weight(
      numbers.matrix(2 * kOutputs, kInputs),
      {.shape = {.outputs = 2 * kOutputs, .inputs = kInputs}, .fuse = Fuse::interleave});
  expect_rows_alone(numbers.matrix(kRows, kInputs), [&](const Matrix& rows) {
    const PackedRows out = device().packed(rows.extent(0), kOutputs);
    device().backend().linear_gated(device().stream(), device().pack(rows), w, {}, Activation::silu,
                                    out);
    return device().unpack(out);
  });
}

TEST_P(Invariance, ARowOfARowParallelProductIsThatOfTheRowAlone) {
  Numbers numbers(3);
  const Weight w = device().weight(
      numbers.matrix(kOutputs, kInputs),
      {.shape = {
           .outputs = kOutputs, .inputs = kInputs, .row_parallel = true, .whole_inputs = kInputs}});
  expect_rows_alone(numbers.matrix(kRows, kInputs), [&](const Matrix& rows) {
    const DeviceMatrix out = device().matrix(rows.extent(0), kOutputs);
    device().backend().linear_row_parallel(device().stream(), device().pack(rows), w, {}, false,
                                           out);
    return device().download(out);
  });
}

TEST_P(Invariance, ExpertsAreTheFormulaAndARowOfThemThatOfTheRowAloneOnEveryTp) {
  // fp32: chains of about 100 roundings of 2^-24. bf16: inputs, weights and h are rounded to 2^-9,
  // whose errors add up over about 100 terms of either sign.
  const float tolerance = device().backend().compute_dtype() == DType::bf16 ? 0.05F : 1e-4F;
  for (const ExpertCase& experts : expert_cases()) {
    const Matrix whole = run_experts(device(), experts, 1);
    const Matrix expected = expected_experts(experts);
    ASSERT_EQ(whole.extent(0), experts.rows);
    float largest = 0;
    for (const float value : expected.flat()) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < whole.flat().size(); ++i) {
      EXPECT_NEAR(whole.flat()[i], expected.flat()[i], tolerance * largest) << text(experts);
    }
    for (const int tp_size : {2, 4, 8}) {
      EXPECT_TRUE(same_bits(run_experts(device(), experts, tp_size), whole)) << text(experts);
    }
    for (std::int64_t row = 0; row < experts.rows; row += 9) {
      EXPECT_TRUE(same_bits(run_experts(device(), experts, 1, row), row_of(whole, row)))
          << text(experts) << " row " << row;
    }
    device().check_and_clear();
  }
}

TEST_P(Invariance, ARowOfANormIsThatOfTheRowAlone) {
  Numbers numbers(4);
  const Norm norm{
      .kind = NormKind::layer, .weight = device().vector(numbers.vector(kInputs)), .bias = {}};
  expect_rows_alone(numbers.matrix(kRows, kInputs), [&](const Matrix& rows) {
    const PackedRows out = device().packed(rows.extent(0), kInputs);
    device().backend().norm_pack(device().stream(), device().matrix(rows), norm, {}, out);
    return device().unpack(out);
  });
}

TEST_P(Invariance, ARowOfASelectionIsThatOfTheRowAlone) {
  const SelectCase together{.rows = kRows, .inputs = 12, .vocab_size = 700, .bias = true};
  const SelectData data = select_data(together);
  const std::vector<SelectPartial> all = run_select(device(), together, data);
  for (std::int64_t row = 0; row < kRows; ++row) {
    SelectCase alone = together;
    alone.rows = 1;
    const SelectData mine{
        row_of(data.x, row), data.head, data.bias, {data.rows[static_cast<std::size_t>(row)]}};
    EXPECT_TRUE(same_partials(run_select(device(), alone, mine),
                              {all.begin() + row * 8, all.begin() + (row + 1) * 8}))
        << row;
  }
}

TEST_P(Invariance, ANanRowLeavesItsNeighboursAlone) {
  Numbers numbers(1);
  Matrix x = numbers.matrix(9, 30);
  const Weight w = device().weight(numbers.matrix(40, 30));
  const auto product = [&] {
    const DeviceMatrix out = device().matrix(9, 40);
    device().backend().linear(device().stream(), device().pack(x), w, {}, 0.0F, out);
    return device().download(out);
  };
  const Matrix before = product();
  for (std::int64_t k = 0; k < 30; ++k) x(4, k) = std::numeric_limits<float>::quiet_NaN();
  const Matrix after = product();
  for (const std::int64_t row : {0, 1, 2, 3, 5, 6, 7, 8}) {
    EXPECT_TRUE(same_bits(row_of(after, row), row_of(before, row))) << row;
  }
  EXPECT_TRUE(std::isnan(after(4, 0)));
}

TEST_P(Invariance, FsdpRunsDoNotChangeAProduct) {
  for (ProductCase product : product_cases()) {
    if (product.rows > 3) continue;
    product.shards = 1;
    const Matrix whole = run_linear(device(), product);
    const Matrix whole_gated = run_gated(device(), product);
    product.shards = 9;  // more than most of these matrices have panels: some runs are empty
    EXPECT_TRUE(same_bits(run_linear(device(), product), whole)) << text(product);
    EXPECT_TRUE(same_bits(run_gated(device(), product), whole_gated)) << text(product);
  }
}

TEST_P(Invariance, EveryTpSizeGivesTheRowParallelProduct) {
  for (const ProductCase& product : product_cases()) {
    const Matrix whole = run_row_parallel(device(), product);
    for (const int tp_size : {1, 2, 4, 8}) {
      EXPECT_TRUE(same_bits(run_joined(device(), product, tp_size), whole))
          << text(product) << " tp " << tp_size;
    }
  }
}

TEST_P(Invariance, EveryTpSizeGivesTheSameSelection) {
  for (const SelectCase& select : select_cases()) {
    const SelectData data = select_data(select);
    const std::vector<SelectPartial> whole = run_select(device(), select, data, 1);
    for (const int tp_size : {2, 4, 8}) {
      EXPECT_TRUE(same_partials(run_select(device(), select, data, tp_size), whole))
          << text(select) << " tp " << tp_size;
    }
  }
}

TEST_P(Invariance, SelectionIsThatOfTheExplicitLogits) {
  for (const SelectCase& select : select_cases()) {
    const SelectData data = select_data(select);
    EXPECT_TRUE(same_partials(run_select(device(), select, data),
                              select_from_logits(run_logits(device(), select, data), data.rows)))
        << text(select);
  }
}

TEST_P(Invariance, ShardsOfAnEmbeddingTableFillOnlyTheirRows) {
  for (EmbedCase embed : embed_cases()) {
    if (embed.shards == 1) continue;
    embed.only_shard = -1;
    const Matrix whole = run_embed(device(), embed);
    Matrix filled({whole.extent(0), whole.extent(1)}, std::numeric_limits<float>::quiet_NaN());
    for (int shard = 0; shard < embed.shards; ++shard) {
      embed.only_shard = shard;
      const Matrix part = run_embed(device(), embed);
      for (std::size_t i = 0; i < part.flat().size(); ++i) {
        if (std::isnan(part.flat()[i])) continue;
        EXPECT_TRUE(std::isnan(filled.flat()[i])) << "two shards hold one row";
        filled.flat()[i] = part.flat()[i];
      }
    }
    EXPECT_TRUE(same_bits(filled, whole)) << text(embed);
  }
}

TEST_P(Invariance, AttentionDoesNotDependOnCuts) {
  for (const AttentionCase& attention : attention_cases()) {
    const std::size_t count = attention.lengths.size();
    const std::vector<SequenceResult> whole = run_attention(device(), attention, all_of(count));
    for (const int piece : {1, 3, 64, 65}) {
      EXPECT_TRUE(same_bits(run_attention(device(), attention, all_of(count, piece)), whole))
          << text(attention) << " piece " << piece;
    }
  }
}

/// What is not finite reaches the rows that see it, and no others.
TEST_P(Invariance, InfiniteValuesDoNotDependOnCuts) {
  for (const int window : {0, 20}) {
    const AttentionCase attention{.lengths = {110},
                                  .heads = 4,
                                  .kv_heads = 2,
                                  .head_dim = 16,
                                  .window = window,
                                  .infinite = 50};
    const std::vector<SequenceResult> whole = run_attention(device(), attention, all_of(1));
    for (const int token : {49, 50, 69, 70, 109}) {
      const bool sees = token >= 50 && (window == 0 || token < 50 + window);
      EXPECT_EQ(std::isfinite(whole[0].outputs(token, 0)), !sees) << token;
    }
    for (const int piece : {1, 30, 65}) {
      EXPECT_TRUE(same_bits(run_attention(device(), attention, all_of(1, piece)), whole))
          << "window " << window << " piece " << piece;
    }
  }
}

TEST_P(Invariance, MlstmDoesNotDependOnCuts) {
  for (const MlstmCase& mlstm : mlstm_cases()) {
    const std::size_t count = mlstm.lengths.size();
    const std::vector<SequenceResult> whole = run_mlstm(device(), mlstm, all_of(count));
    for (const int piece : {1, 2, 16, 17}) {
      EXPECT_TRUE(same_bits(run_mlstm(device(), mlstm, all_of(count, piece)), whole))
          << text(mlstm) << " piece " << piece;
    }
  }
}

TEST_P(Invariance, ALongPromptOfAnMlstmDoesNotDependOnCuts) {
  const MlstmCase mlstm{.lengths = {1042, 3}, .heads = 1, .qk_dim = 2, .v_dim = 1};
  const std::vector<SequenceResult> whole = run_mlstm(device(), mlstm, all_of(2));
  for (const int piece : {400, 1024}) {
    EXPECT_TRUE(same_bits(run_mlstm(device(), mlstm, all_of(2, piece)), whole)) << piece;
  }
}

TEST_P(Invariance, PrefillOfAnyLengthEqualsTokenByToken) {
  for (int length = 1; length <= 70; length += length < 20 ? 1 : 7) {
    const AttentionCase attention{.lengths = {length}, .heads = 2, .kv_heads = 1, .head_dim = 6};
    EXPECT_TRUE(same_bits(run_attention(device(), attention, all_of(1)),
                          run_attention(device(), attention, all_of(1, 1))))
        << length;
    const MlstmCase mlstm{.lengths = {length}, .heads = 2, .qk_dim = 5, .v_dim = 9};
    EXPECT_TRUE(
        same_bits(run_mlstm(device(), mlstm, all_of(1)), run_mlstm(device(), mlstm, all_of(1, 1))))
        << length;
  }
}

TEST_P(Invariance, ASequenceIsThatOfTheSequenceAloneInAnySlot) {
  const AttentionCase attention{
      .lengths = {3, 70, 1, 20}, .heads = 4, .kv_heads = 2, .head_dim = 6, .qk_norm = true};
  const MlstmCase mlstm{.lengths = {3, 70, 1, 20}, .heads = 2, .qk_dim = 5, .v_dim = 7};
  const Feed feed{.sequences = {2, 3, 0, 1}, .piece = 9, .first_slot = 0};
  const std::vector<SequenceResult> attended = run_attention(device(), attention, feed);
  const std::vector<SequenceResult> recurred = run_mlstm(device(), mlstm, feed);
  for (std::size_t s = 0; s < feed.sequences.size(); ++s) {
    const Feed alone{.sequences = {feed.sequences[s]}, .piece = 5, .first_slot = 2};
    EXPECT_TRUE(same_bits(run_attention(device(), attention, alone), {attended[s]})) << s;
    EXPECT_TRUE(same_bits(run_mlstm(device(), mlstm, alone), {recurred[s]})) << s;
  }
}

TEST_P(Invariance, AWindowMayEndSplitsBefore) {
  const AttentionCase attention{
      .lengths = {1045}, .heads = 1, .kv_heads = 1, .head_dim = 8, .window = 500};
  const std::vector<SequenceResult> whole = run_attention(device(), attention, all_of(1));
  for (const int piece : {3, 65}) {
    EXPECT_TRUE(same_bits(run_attention(device(), attention, all_of(1, piece)), whole)) << piece;
  }
}

/// Also what keys and values that a row does not see yet may be: a page comes from another row.
TEST_P(Invariance, WhatASlotHeldBeforeDoesNotMatter) {
  for (const int piece : {1, 100}) {
    const Feed fresh = all_of(3, piece);
    Feed spoiled = fresh;
    spoiled.spoiled = true;
    const auto compare = [](const std::vector<SequenceResult>& actual,
                            const std::vector<SequenceResult>& expected) {
      for (std::size_t s = 0; s < expected.size(); ++s) {
        EXPECT_TRUE(same_bits(actual[s].outputs, expected[s].outputs)) << "sequence " << s;
      }
    };
    for (const int head_dim : {6, 16}) {
      const AttentionCase attention{
          .lengths = {3, 70, 1}, .heads = 4, .kv_heads = 2, .head_dim = head_dim};
      compare(run_attention(device(), attention, spoiled),
              run_attention(device(), attention, fresh));
    }
    const MlstmCase mlstm{.lengths = {3, 70, 1}, .heads = 2, .qk_dim = 5, .v_dim = 7};
    compare(run_mlstm(device(), mlstm, spoiled), run_mlstm(device(), mlstm, fresh));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Invariance, ::testing::ValuesIn(all_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
