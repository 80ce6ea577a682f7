#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "unit/kernels/candidate_test.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/select_cases.hpp"

// A backend may have one kernel for few rows and another for many: nobody may notice by the bits.
namespace gridmill::testing {
namespace {

class RowCounts : public CandidateTest {};

Matrix rows_of(const Matrix& matrix, std::int64_t first, std::int64_t count) {
  Matrix part({count, matrix.extent(1)});
  for (std::int64_t row = 0; row < count; ++row) {
    std::copy_n(matrix.view().row(first + row).begin(), matrix.extent(1),
                part.view().row(row).begin());
  }
  return part;
}

using RowFunction = std::function<Matrix(const Matrix& rows)>;

/// Every row by threes is the yardstick.
void expect_any_number_of_rows(const Matrix& x, const RowFunction& function) {
  constexpr std::int64_t kFew = 3;
  Matrix few = function(rows_of(x, 0, kFew));
  Matrix expected({x.extent(0), few.extent(1)});
  for (std::int64_t row = 0; row < x.extent(0); row += kFew) {
    const std::int64_t count = std::min(kFew, x.extent(0) - row);
    few = function(rows_of(x, row, count));
    for (std::int64_t i = 0; i < count; ++i) {
      std::copy_n(few.view().row(i).begin(), few.extent(1), expected.view().row(row + i).begin());
    }
  }
  for (const std::int64_t count : {1, 8, 12, 20, 33, 64, 65, 127, 128, 129, 255, 256, 257, 300}) {
    // Not the first ones: a row stands in another place than it did by threes.
    const std::int64_t first = std::min<std::int64_t>(5, x.extent(0) - count);
    EXPECT_TRUE(same_bits(function(rows_of(x, first, count)), rows_of(expected, first, count)))
        << count << " rows";
  }
}

constexpr std::int64_t kMostRows = 300;

TEST_P(RowCounts, DoNotChangeAProduct) {
  // Blocks of 32 inputs of which the last ones are short or empty, and longer ones; outputs of more
  // than one tile.
  for (const MatrixShape& shape :
       {MatrixShape{.outputs = 150, .inputs = 203}, MatrixShape{.outputs = 17, .inputs = 530},
        MatrixShape{.outputs = 33, .inputs = 1330}}) {
    const std::int64_t outputs = shape.outputs;
    const std::int64_t inputs = shape.inputs;
    Numbers numbers(1);
    const Weight w =
        device().weight(numbers.matrix(outputs, inputs), {.shape = shape, .shards = 3});
    const ConstDeviceVector bias = device().vector(numbers.vector(outputs));
    expect_any_number_of_rows(numbers.matrix(kMostRows, inputs), [&](const Matrix& rows) {
      const DeviceMatrix out = device().matrix(rows.extent(0), outputs);
      device().backend().linear(device().stream(), device().pack(rows), w, bias, 3.0F, out);
      return device().download(out);
    });
    device().check_and_clear();
  }
}

/// So many that a device gives its multiprocessors larger tiles, and the largest.
TEST_P(RowCounts, DoNotChangeAProductWithManyOutputs) {
  constexpr std::int64_t kOutputs = 16'430;
  constexpr std::int64_t kInputs = 72;
  constexpr std::int64_t kRows = 260;
  Numbers numbers(7);
  const Weight w = device().weight(numbers.matrix(kOutputs, kInputs));
  const Matrix x = numbers.matrix(kRows, kInputs);
  const RowFunction product = [&](const Matrix& rows) {
    const DeviceMatrix out = device().matrix(rows.extent(0), kOutputs);
    device().backend().linear(device().stream(), device().pack(rows), w, {}, 0.0F, out);
    return device().download(out);
  };
  const Matrix all = product(x);
  for (const auto& [first, count] : {std::pair{0, 3}, {40, 20}, {62, 2}, {100, 64}, {80, 150}}) {
    EXPECT_TRUE(same_bits(product(rows_of(x, first, count)), rows_of(all, first, count)))
        << count << " rows from " << first;
  }
}

TEST_P(RowCounts, DoNotChangeAGatedProduct) {
  constexpr std::int64_t kOutputs = 75;  // five panels of gates, the last of them padded
  constexpr std::int64_t kInputs = 70;
  Numbers numbers(2);
  const Weight w = device().weight(
      numbers.matrix(2 * kOutputs, kInputs),
      {.shape = {.outputs = 2 * kOutputs, .inputs = kInputs}, .fuse = Fuse::interleave});
  const ConstDeviceVector bias = device().vector(numbers.vector(2 * kOutputs));
  expect_any_number_of_rows(numbers.matrix(kMostRows, kInputs), [&](const Matrix& rows) {
    const PackedRows out = device().packed(rows.extent(0), kOutputs);
    device().backend().linear_gated(device().stream(), device().pack(rows), w, bias,
                                    Activation::silu, out);
    return device().unpack(out);
  });
}

TEST_P(RowCounts, DoNotChangeAnActivatedProduct) {
  constexpr std::int64_t kOutputs = 21;
  constexpr std::int64_t kInputs = 40;
  Numbers numbers(3);
  const Weight w = device().weight(numbers.matrix(kOutputs, kInputs));
  expect_any_number_of_rows(numbers.matrix(kMostRows, kInputs), [&](const Matrix& rows) {
    const PackedRows out = device().packed(rows.extent(0), kOutputs);
    device().backend().linear_activated(device().stream(), device().pack(rows), w, {},
                                        Activation::gelu_tanh, out);
    return device().unpack(out);
  });
}

TEST_P(RowCounts, DoNotChangeARowParallelProduct) {
  // Blocks of 8, 10 and 66 inputs: whole loads and steps, neither, and more than one step.
  for (const std::int64_t inputs : {64, 75, 523}) {
    constexpr std::int64_t kOutputs = 34;
    Numbers numbers(4);
    const Weight w = device().weight(
        numbers.matrix(kOutputs, inputs),
        {.shape = {
             .outputs = kOutputs, .inputs = inputs, .row_parallel = true, .whole_inputs = inputs}});
    expect_any_number_of_rows(numbers.matrix(kMostRows, inputs), [&](const Matrix& rows) {
      const DeviceMatrix out = device().matrix(rows.extent(0), kOutputs);
      device().backend().linear_row_parallel(device().stream(), device().pack(rows), w, {}, false,
                                             out);
      return device().download(out);
    });
    device().check_and_clear();
  }
}

TEST_P(RowCounts, DoNotChangeTheSignOfZero) {
  // Every product is too small for fp32 and negative: sums of -0, which one more +0 would turn.
  constexpr std::int64_t kInputs = 32;  // eight blocks of 4, shorter than any step
  constexpr std::int64_t kOutputs = 5;
  Matrix x({kMostRows, kInputs}, -1e-30F);
  const Weight w = device().weight(
      Matrix({kOutputs, kInputs}, 1e-30F),
      {.shape = {
           .outputs = kOutputs, .inputs = kInputs, .row_parallel = true, .whole_inputs = kInputs}});
  expect_any_number_of_rows(x, [&](const Matrix& rows) {
    const DeviceMatrix out = device().matrix(rows.extent(0), kOutputs);
    device().backend().linear_partial(device().stream(), device().pack(rows), w, 1, out);
    return device().download(out);
  });
}

TEST_P(RowCounts, DoNotChangeWhatRanksHaveOfARowParallelProduct) {
  const ProductCase many{.rows = 130, .inputs = 203, .outputs = 18, .bias = true};
  const Matrix whole = run_row_parallel(device(), many);
  for (const int tp : {1, 2, 4, 8}) {
    EXPECT_TRUE(same_bits(run_joined(device(), many, tp), whole)) << "tp " << tp;
  }
}

TEST_P(RowCounts, DoNotChangeASelection) {
  constexpr std::int64_t kMost = kLogitRows + 3;
  const SelectCase all{
      .rows = kMost, .inputs = 40, .vocab_size = 150, .bias = true, .soft_cap = 3.0F};
  const SelectData data = select_data(all);
  const ConstDeviceVector bias = device().vector(data.bias);
  const Weight head = device().weight(data.head);
  const auto selected = [&](std::int64_t first, std::int64_t count) {
    SelectPartial* partials = device().partials(count * kVocabularyGroups);
    device().backend().select(device().stream(), device().pack(rows_of(data.x, first, count)), head,
                              bias, all.soft_cap, all.vocab_size, 0, 1,
                              std::span(data.rows).subspan(static_cast<std::size_t>(first),
                                                           static_cast<std::size_t>(count)),
                              partials, {});
    return device().download(partials, count * kVocabularyGroups);
  };
  std::vector<SelectPartial> expected;
  for (std::int64_t row = 0; row < kMost; ++row) {
    const std::vector<SelectPartial> one = selected(row, 1);
    expected.insert(expected.end(), one.begin(), one.end());
  }
  for (const std::int64_t count : {2L, 64L, 65L, 130L, kLogitRows, kLogitRows + 1}) {
    const std::int64_t first = kMost - count;
    EXPECT_TRUE(same_partials(selected(first, count),
                              {expected.begin() + first * kVocabularyGroups, expected.end()}))
        << count << " rows";
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RowCounts, ::testing::ValuesIn(rule_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
