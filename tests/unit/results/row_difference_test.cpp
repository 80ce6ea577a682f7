#include "gridmill/results/row_difference.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/temporary_folder.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::create_sample;
using test::flip_bit;
using test::SampleRow;
using test::TemporaryFolder;

constexpr ResultShape kShape{
    .rows = 6, .samples_per_prompt = 2, .max_length = 8, .logprobs = 1, .valid = 1};
constexpr RowId kDone = 1;
constexpr RowId kFailed = 3;
constexpr RowId kLong = 5;  // 6 tokens

class RowDifference : public ::testing::Test {
 protected:
  RowDifference() {
    create_sample(path_, kShape);
    layout_ = ResultFile::open(path_).layout();
    ResultStore store = ResultStore::open(path_, layout_);
    for (RowId row = 0; row < kShape.rows; ++row) store.put(SampleRow(kShape, row).result());
    store.close();
  }
  [[nodiscard]] std::string difference(const RowResult& expected) const {
    return row_difference(*open_row_file(path_, false), layout_, expected);
  }
  [[nodiscard]] std::string difference(RowId row) const {
    const SampleRow sample(kShape, row);
    return difference(sample.result());
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
  ResultLayout layout_;
};

TEST_F(RowDifference, OfARowThatIsAsExpectedIsEmpty) {
  for (RowId row = 0; row < kShape.rows; ++row) EXPECT_EQ(difference(row), "") << row;
}

TEST_F(RowDifference, NamesTheTokenAndBothValues) {
  SampleRow other(kShape, kDone);
  const TokenId stored = other.tokens[1];
  other.tokens[1] = 5;
  EXPECT_EQ(difference(other.result()), "token 1 is " + std::to_string(stored) + ", expected 5");
}

TEST_F(RowDifference, SeesEveryBitOfARowsRoom) {
  struct Part {
    std::uint64_t offset;
    std::uint64_t bytes;
  };
  for (const RowId row : {kDone, kFailed}) {
    const std::vector<Part> parts = {{layout_.record_at(row), sizeof(RowRecord)},
                                     {layout_.tokens_at(row), kShape.max_length * sizeof(TokenId)},
                                     {layout_.logprobs_at(row), kShape.max_length * sizeof(float)},
                                     {layout_.valid_at(row), kShape.max_length},
                                     {layout_.failure_at(row), kFailureBytes}};
    for (const Part& part : parts) {
      for (std::uint64_t byte = part.offset; byte < part.offset + part.bytes; ++byte) {
        const auto bit = static_cast<unsigned>(byte % 8);
        flip_bit(path_, byte, bit);
        EXPECT_NE(difference(row), "") << "row " << row << ", byte " << byte - part.offset;
        flip_bit(path_, byte, bit);
      }
    }
    EXPECT_EQ(difference(row), "");
  }
}

TEST_F(RowDifference, APartialRowMayBeFollowedByMore) {
  const SampleRow sample(kShape, kLong);
  const RowResult partial = sample.result(2);
  ASSERT_EQ(partial.status, RowStatus::partial);
  {
    ResultStore store = ResultStore::open(path_, layout_);
    store.discard(std::vector<RowId>{kLong});
    store.put(partial);
    store.close();
  }
  flip_bit(path_, layout_.tokens_at(kLong) + 5 * sizeof(TokenId), 0);
  EXPECT_EQ(difference(partial), "");
  EXPECT_EQ(difference(sample.result()), "status is 3, expected 1");
}

}  // namespace
}  // namespace gridmill
