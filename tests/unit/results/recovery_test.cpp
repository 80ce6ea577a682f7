#include "gridmill/results/recovery.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "support/temporary_folder.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::create_sample;
using test::flip_bit;
using test::SampleRow;
using test::TemporaryFolder;

constexpr ResultShape kShape{
    .rows = 12, .samples_per_prompt = 2, .max_length = 8, .logprobs = 1, .valid = 1};

/// Rows 0..8 done or failed (3), row 9 partial, 10 and 11 missing.
class RecoveryTest : public ::testing::Test {
 protected:
  RecoveryTest() {
    create_sample(path_, kShape);
    layout_ = ResultFile::open(path_).layout();
    ResultStore store = ResultStore::open(path_, layout_);
    for (RowId row = 0; row < 9; ++row) store.put(SampleRow(kShape, row).result());
    store.put(SampleRow(kShape, 9, RowStatus::partial).result());
    store.close();
    intact_ = scan();
  }
  [[nodiscard]] std::vector<RowState> scan(const ScanOptions& options = {}) const {
    return scan_rows(*open_row_file(path_, false), layout_, 0, kShape.rows, options);
  }
  /// States with `row` damaged and all others as they were.
  [[nodiscard]] std::vector<RowState> with_damaged(RowId row) const {
    std::vector<RowState> states = intact_;
    states[row] = RowState::damaged;
    return states;
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
  ResultLayout layout_;
  std::vector<RowState> intact_;
};

TEST_F(RecoveryTest, EveryRowHasItsState) {
  std::vector<RowState> expected(12, RowState::done);
  expected[3] = RowState::failed;
  expected[9] = RowState::partial;
  expected[10] = expected[11] = RowState::missing;
  EXPECT_EQ(intact_, expected);
  EXPECT_EQ(rows_in_state(intact_, RowState::missing), (std::vector<RowId>{10, 11}));
  EXPECT_EQ(rows_in_state(intact_, RowState::partial, 100), std::vector<RowId>{109});
}

TEST_F(RecoveryTest, PartsOfTheFileMayBeScannedAlone) {
  const auto states = scan_rows(*open_row_file(path_, false), layout_, 2, 3);
  EXPECT_EQ(states, (std::vector<RowState>{RowState::done, RowState::failed, RowState::done}));
  EXPECT_THROW(static_cast<void>(scan_rows(*open_row_file(path_, false), layout_, 10, 3)),
               InternalError);
}

TEST_F(RecoveryTest, EveryFlippedBitOfARecordIsFound) {
  for (const RowId row : {RowId{2}, RowId{3}, RowId{9}}) {
    for (std::uint64_t byte = 0; byte < sizeof(RowRecord); ++byte) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        flip_bit(path_, layout_.record_at(row) + byte, bit);
        EXPECT_EQ(scan(), with_damaged(row)) << "row " << row << " byte " << byte;
        EXPECT_EQ(scan({.payload = false}), with_damaged(row));
        flip_bit(path_, layout_.record_at(row) + byte, bit);
      }
    }
  }
  EXPECT_EQ(scan(), intact_);
}

TEST_F(RecoveryTest, EveryFlippedBitOfADoneOrFailedRowIsFoundAlsoBehindItsEnd) {
  const std::uint64_t width = kShape.max_length;
  for (const RowId row : {RowId{2}, RowId{3}}) {
    const std::vector<std::pair<std::uint64_t, std::uint64_t>> parts = {
        {layout_.tokens_at(row), width * sizeof(TokenId)},
        {layout_.logprobs_at(row), width * sizeof(float)},
        {layout_.valid_at(row), width},
        {layout_.failure_at(row), kFailureBytes}};
    for (const auto& [begin, size] : parts) {
      for (std::uint64_t byte = begin; byte < begin + size; ++byte) {
        flip_bit(path_, byte, static_cast<unsigned>(byte * 5 % 8));
        EXPECT_EQ(scan(), with_damaged(row)) << "row " << row << " byte " << byte - begin;
        flip_bit(path_, byte, static_cast<unsigned>(byte * 5 % 8));
      }
    }
  }
}

TEST_F(RecoveryTest, ARecordInAnotherRowsPlaceIsDamaged) {
  const auto file = open_row_file(path_, true);
  const RowRecord foreign = read_records(*file, layout_, 2, 1).front();
  file->write(layout_.record_at(10), std::as_bytes(std::span(&foreign, 1)));
  EXPECT_EQ(scan(), with_damaged(10));
}

TEST_F(RecoveryTest, SealedNonsenseIsDamaged) {
  const auto file = open_row_file(path_, true);
  const RowRecord good = read_records(*file, layout_, 2, 1).front();
  const auto judged = [&](auto&& change) {
    RowRecord record = good;
    change(record);
    record = sealed(record);
    file->write(layout_.record_at(2), std::as_bytes(std::span(&record, 1)));
    return scan()[2];
  };
  EXPECT_EQ(judged([](RowRecord&) {}), RowState::done);
  EXPECT_EQ(judged([](RowRecord& r) { r.status = 4; }), RowState::damaged);
  EXPECT_EQ(judged([](RowRecord& r) { r.finish_reason = 5; }), RowState::damaged);
  EXPECT_EQ(judged([](RowRecord& r) { r.length = kShape.max_length + 1; }), RowState::damaged);
  EXPECT_EQ(judged([](RowRecord& r) { r.prefix_length = r.length + 1; }), RowState::damaged);
  EXPECT_EQ(judged([](RowRecord& r) { r.flags = 1; }), RowState::damaged);
  EXPECT_EQ(judged([](RowRecord& r) { r.sample_index = 7; }), RowState::damaged);
}

TEST_F(RecoveryTest, TokensAppendedBehindAPartialRowDoNotHarmIt) {
  const auto file = open_row_file(path_, true);
  const std::uint32_t length = read_records(*file, layout_, 9, 1).front().length;
  ASSERT_LT(length, kShape.max_length);
  const TokenId token = 77;
  file->write(layout_.tokens_at(9) + length * sizeof(TokenId), std::as_bytes(std::span(&token, 1)));
  EXPECT_EQ(scan(), intact_);
}

TEST_F(RecoveryTest, DamagedRowsAreDiscardedAndMadeAgainToTheSameBytes) {
  const std::string before = read_text_file(path_);
  flip_bit(path_, layout_.record_at(1), 3);
  flip_bit(path_, layout_.tokens_at(4) + 2, 1);
  flip_bit(path_, layout_.tokens_at(6) + (kShape.max_length - 1) * sizeof(TokenId), 0);
  flip_bit(path_, layout_.failure_at(3) + 200, 6);
  const std::vector<RowId> damaged = rows_in_state(scan(), RowState::damaged);
  EXPECT_EQ(damaged, (std::vector<RowId>{1, 3, 4, 6}));
  ResultStore store = ResultStore::open(path_, layout_);
  store.discard(damaged);
  for (const RowId row : damaged) EXPECT_EQ(scan()[row], RowState::missing);
  for (const RowId row : damaged) store.put(SampleRow(kShape, row).result());
  store.close();
  EXPECT_EQ(scan(), intact_);
  EXPECT_EQ(read_text_file(path_), before);
}

TEST_F(RecoveryTest, ReadingADamagedRowNamesIt) {
  flip_bit(path_, layout_.tokens_at(4), 1);
  try {
    static_cast<void>(ResultFile::open(path_).read_row(4));
    ADD_FAILURE() << "row 4 was read";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("row 4"), std::string::npos) << error.what();
  }
}

TEST(Recovery, ManyThreadsAgreeWithOne) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  const ResultShape shape{.rows = 5000, .max_length = 4};
  create_sample(path, shape);
  const ResultLayout layout = ResultFile::open(path).layout();
  ResultStore store = ResultStore::open(path, layout);
  for (RowId row = 0; row < shape.rows; row += 1 + row % 3) {
    store.put(SampleRow(shape, row).result());
  }
  store.close();
  flip_bit(path, layout.tokens_at(3000), 0);
  const auto file = open_row_file(path, false);
  const auto one = scan_rows(*file, layout, 0, shape.rows, {.threads = 1});
  EXPECT_EQ(scan_rows(*file, layout, 0, shape.rows, {.threads = 4}), one);
  EXPECT_EQ(rows_in_state(one, RowState::damaged).size(), one[3000] == RowState::missing ? 0U : 1U);
}

}  // namespace
}  // namespace gridmill
