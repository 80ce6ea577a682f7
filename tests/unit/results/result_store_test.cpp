#include "gridmill/results/result_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/results/recovery.hpp"
#include "support/temporary_folder.hpp"
#include "unit/results/faulty_row_file.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::create_sample;
using test::FaultPlan;
using test::FaultyRowFile;
using test::SampleRow;
using test::TemporaryFolder;
using namespace std::chrono_literals;

constexpr ResultShape kShape{
    .rows = 50, .samples_per_prompt = 2, .max_length = 40, .logprobs = 1, .valid = 1};
const ResultStoreOptions kNever{
    .commit_interval = std::chrono::hours{1}, .on_durable = nullptr, .check_ownership = nullptr};

/// A result file of its own for one test.
class ResultStoreTest : public ::testing::Test {
 protected:
  ResultStoreTest() { create_sample(path_, kShape); }

  [[nodiscard]] ResultLayout layout() const { return ResultFile::open(path_).layout(); }
  [[nodiscard]] ResultStore open(ResultStoreOptions options = kNever) const {
    return ResultStore::open(path_, layout(), std::move(options));
  }
  [[nodiscard]] ResultStore open_faulty(const std::shared_ptr<FaultPlan>& plan,
                                        ResultStoreOptions options = kNever) const {
    return {std::make_unique<FaultyRowFile>(path_, plan), layout(), std::move(options)};
  }
  [[nodiscard]] StoredRow read(RowId row) const { return ResultFile::open(path_).read_row(row); }
  [[nodiscard]] std::vector<RowState> states() const {
    const ResultFile file = ResultFile::open(path_);
    return scan_rows(file.rows(), file.layout(), 0, kShape.rows);
  }
  void put_all(ResultStore& store, unsigned shuffle_seed) const {
    std::vector<RowId> order(kShape.rows);
    std::iota(order.begin(), order.end(), RowId{0});
    std::shuffle(order.begin(), order.end(), std::mt19937(shuffle_seed));
    for (const RowId row : order) store.put(SampleRow(kShape, row).result());
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
};

template <typename Function>
ExitCode code_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::ok;
}

TEST_F(ResultStoreTest, RowsComeBackAsTheyWerePut) {
  ResultStore store = open();
  put_all(store, 1);
  store.close();
  for (RowId row = 0; row < kShape.rows; ++row) {
    EXPECT_TRUE(test::holds(read(row), SampleRow(kShape, row))) << row;
  }
  EXPECT_EQ(read(5).record.prompt_index, 2U);
  EXPECT_EQ(read(5).record.sample_index, 1U);
  EXPECT_EQ(read(5).record.stop_index, 0U);
  EXPECT_EQ(read(5).record.flags, 0U);
}

TEST_F(ResultStoreTest, AnyOrderOfRowsGivesTheSameFile) {
  ResultStore store = open();
  put_all(store, 1);
  store.close();
  const std::string other_path = folder_.file("other.h5");
  create_sample(other_path, kShape);
  ResultStore other = ResultStore::open(other_path, ResultFile::open(other_path).layout(), kNever);
  for (RowId row = 0; row < kShape.rows; ++row) {
    const SampleRow sample(kShape, kShape.rows - 1 - row);
    for (std::size_t length = 1; length < sample.tokens.size(); length += 3) {
      RowResult growing = sample.result(length);
      other.put(growing);
    }
    if (row % 5 == 0) other.flush();
    other.put(sample.result());
  }
  other.close();
  EXPECT_EQ(read_text_file(path_), read_text_file(other_path));
}

TEST_F(ResultStoreTest, ARowIsDurableWithinTheCommitInterval) {
  std::atomic<bool> durable{false};
  ResultStore store = open({.commit_interval = 200ms,
                            .on_durable = [&](std::span<const RowId>) { durable = true; },
                            .check_ownership = nullptr});
  const SteadyClock::time_point start = SteadyClock::now();
  store.put(SampleRow(kShape, 1).result());
  while (!durable && seconds_since(start) < 20.0) std::this_thread::sleep_for(1ms);
  // Promised is 0.2 s and what fdatasync takes; a busy machine may add to it.
  EXPECT_LT(seconds_since(start), 5.0);
  EXPECT_EQ(states()[1], RowState::done);
}

TEST_F(ResultStoreTest, FlushMakesEverythingDurableAndReportsRowsInOrder) {
  std::vector<RowId> reported;
  ResultStoreOptions options = kNever;
  options.on_durable = [&](std::span<const RowId> rows) {
    reported.insert(reported.end(), rows.begin(), rows.end());
  };
  ResultStore store = open(options);
  for (const RowId row : {4, 2, 9}) store.put(SampleRow(kShape, row).result());
  EXPECT_TRUE(reported.empty());
  EXPECT_EQ(states()[4], RowState::missing);
  store.flush();
  EXPECT_EQ(reported, (std::vector<RowId>{4, 2, 9}));
  EXPECT_EQ(states()[4], RowState::done);
  EXPECT_EQ(store.counters().rows_put, 3U);
  EXPECT_EQ(store.counters().rows_durable, 3U);
  EXPECT_EQ(store.counters().syncs, 2U);
}

TEST_F(ResultStoreTest, AnIdleStoreDoesNotTouchTheDisk) {
  const auto plan = std::make_shared<FaultPlan>();
  ResultStore store = open_faulty(
      plan, {.commit_interval = 3ms, .on_durable = nullptr, .check_ownership = nullptr});
  std::this_thread::sleep_for(50ms);
  store.close();
  EXPECT_EQ(plan->syncs, 0);
  EXPECT_EQ(plan->writes, 0);
}

TEST_F(ResultStoreTest, APartialRowGrowsAndStaysReadable) {
  const SampleRow sample(kShape, 20);
  ASSERT_GE(sample.tokens.size(), 9U);
  ResultStore store = open();
  store.put(sample.result(4));
  store.flush();
  EXPECT_EQ(read(20).record.status, static_cast<int>(RowStatus::partial));
  EXPECT_EQ(read(20).tokens,
            std::vector<TokenId>(sample.tokens.begin(), sample.tokens.begin() + 4));
  store.put(sample.result(8));  // appended, not committed: the row of 4 still stands
  EXPECT_EQ(states()[20], RowState::partial);
  EXPECT_EQ(read(20).tokens.size(), 4U);
  store.put(sample.result());
  store.flush();
  EXPECT_TRUE(test::holds(read(20), sample));
}

TEST_F(ResultStoreTest, ZerosFollowARowThatBecameShorter) {
  const SampleRow sample(kShape, 1);
  ASSERT_GE(sample.tokens.size(), 2U);
  ResultStore store = open();
  store.put(sample.result(sample.tokens.size() - 1));
  store.flush();
  RowResult failed{.row = 1, .status = RowStatus::failed, .finish_reason = FinishReason::error};
  failed.failure = "a logit is NaN";
  failed.valid = sample.valid;
  store.put(failed);
  store.flush();
  EXPECT_EQ(states()[1], RowState::failed);
  EXPECT_EQ(read(1).failure, "a logit is NaN");
  const ResultFile file = ResultFile::open(path_);
  std::vector<TokenId> tokens(kShape.max_length);
  file.rows().read(file.layout().tokens_at(1), std::as_writable_bytes(std::span(tokens)));
  EXPECT_EQ(tokens, std::vector<TokenId>(kShape.max_length, 0));
  store.put(sample.result());
  store.flush();
  EXPECT_TRUE(test::holds(read(1), sample));
  EXPECT_EQ(states()[1], RowState::done);
}

TEST_F(ResultStoreTest, ARowThatChangesItsCommittedBytesIsMissingMeanwhileNotDamaged) {
  const SampleRow sample(kShape, 20);
  RowResult without_logprobs = sample.result(4);
  const std::vector<float> zeros(4, 0.0F);
  without_logprobs.logprobs = zeros;
  ResultStore first = open();
  first.put(without_logprobs);
  first.close();
  EXPECT_EQ(states()[20], RowState::partial);
  for (int calls = 1; calls < 4; ++calls) {  // it ends after so many writes, as in a kill
    const auto plan = std::make_shared<FaultPlan>();
    plan->writes_left = calls;
    ResultStore second = open_faulty(plan);
    second.put(sample.result());
    EXPECT_THROW(second.flush(), IoError);
    EXPECT_EQ(states()[20], RowState::missing) << calls;
  }
  ResultStore third = open();
  third.put(sample.result());
  third.close();
  EXPECT_TRUE(test::holds(read(20), sample));
}

TEST_F(ResultStoreTest, FailureTextsAreOneLineCutBetweenCharacters) {
  const SampleRow sample(kShape, 3);
  ASSERT_EQ(sample.status, RowStatus::failed);
  RowResult failed = sample.result();
  ResultStore store = open();
  const std::string text = std::string("two\nlines\t") + std::string(245, 'x') + "\u20ac";
  failed.failure = text;
  store.put(failed);
  store.flush();
  EXPECT_EQ(read(3).failure, "two lines " + std::string(245, 'x'));  // the 3 bytes no longer fit
  failed.failure = "";
  store.put(failed);
  store.flush();
  EXPECT_EQ(read(3).failure, "no reason given");
}

TEST_F(ResultStoreTest, RowsThatDoNotFitAreOurOwnMistake) {
  const SampleRow sample(kShape, 1);
  ResultStore store = open();
  const auto refused = [&](auto&& change) {
    RowResult result = sample.result();
    change(result);
    return code_of([&] { store.put(result); }) == ExitCode::internal;
  };
  const std::vector<TokenId> too_long(kShape.max_length + 1, 1);
  EXPECT_TRUE(refused([](RowResult& r) { r.row = kShape.rows; }));
  EXPECT_TRUE(refused([](RowResult& r) { r.status = RowStatus::empty; }));
  EXPECT_TRUE(refused([&](RowResult& r) { r.tokens = too_long; }));
  EXPECT_TRUE(refused([](RowResult& r) { r.logprobs = {}; }));
  EXPECT_TRUE(refused([](RowResult& r) { r.valid = r.valid.first(1); }));
  EXPECT_TRUE(refused([](RowResult& r) { r.failure = "done rows have none"; }));
  EXPECT_TRUE(refused([](RowResult& r) { r.prefix_length = 1000; }));
  store.put(sample.result());  // and the store lives on
  store.close();
  EXPECT_EQ(code_of([&] { store.put(sample.result()); }), ExitCode::internal);
}

TEST_F(ResultStoreTest, AFailedWriteIsFinalAndNothingIsRetried) {
  const auto plan = std::make_shared<FaultPlan>();
  plan->writes_left = 0;
  ResultStore store = open_faulty(plan);
  const SampleRow sample(kShape, 1);
  store.put(sample.result());
  EXPECT_THROW(store.flush(), IoError);
  const int writes = plan->writes;
  EXPECT_THROW(store.put(sample.result()), IoError);
  EXPECT_THROW(store.flush(), IoError);
  EXPECT_THROW(store.close(), IoError);
  EXPECT_EQ(plan->writes, writes);
  EXPECT_EQ(plan->syncs, 0);
}

TEST_F(ResultStoreTest, AFailedSyncLeavesNoRecordBehind) {
  const auto plan = std::make_shared<FaultPlan>();
  plan->syncs_left = 0;
  ResultStore store = open_faulty(plan);
  store.put(SampleRow(kShape, 1).result());
  EXPECT_THROW(store.flush(), IoError);
  EXPECT_THROW(store.close(), IoError);
  EXPECT_EQ(plan->syncs, 1);
  EXPECT_EQ(states()[1], RowState::missing);
}

TEST_F(ResultStoreTest, AFailureInTheCommitThreadReachesTheNextCall) {
  const auto plan = std::make_shared<FaultPlan>();
  plan->syncs_left = 0;
  ResultStore store = open_faulty(
      plan, {.commit_interval = 5ms, .on_durable = nullptr, .check_ownership = nullptr});
  store.put(SampleRow(kShape, 1).result());
  const SteadyClock::time_point start = SteadyClock::now();
  ExitCode code = ExitCode::ok;
  while (code == ExitCode::ok && seconds_since(start) < 20.0) {
    std::this_thread::sleep_for(1ms);
    code = code_of([&] { store.put(SampleRow(kShape, 2).result()); });
  }
  EXPECT_EQ(code, ExitCode::io);
}

/// Of a run that has the file as long as `owner` says so.
ResultStoreOptions while_owner(const std::atomic<bool>& owner) {
  ResultStoreOptions options = kNever;
  options.check_ownership = [&owner] {
    if (!owner) throw OutputError("another run has taken over");
  };
  return options;
}

TEST_F(ResultStoreTest, ARunThatLostTheFileCommitsNothingMore) {
  std::atomic<bool> owner{true};
  ResultStore store = open(while_owner(owner));
  store.put(SampleRow(kShape, 1).result());
  store.flush();
  owner = false;
  store.put(SampleRow(kShape, 2).result());
  EXPECT_THROW(store.flush(), OutputError);
  owner = true;
  EXPECT_THROW(store.put(SampleRow(kShape, 4).result()), OutputError);
  EXPECT_EQ(states()[1], RowState::done);
  EXPECT_EQ(states()[2], RowState::missing);
}

TEST_F(ResultStoreTest, ARunThatLostTheFileDiscardsNothing) {
  std::atomic<bool> owner{true};
  ResultStore store = open(while_owner(owner));
  store.put(SampleRow(kShape, 1).result());
  store.flush();
  owner = false;
  EXPECT_THROW(store.discard(std::array{RowId{1}}), OutputError);
  EXPECT_EQ(states()[1], RowState::done);
  owner = true;
  EXPECT_THROW(store.flush(), OutputError);
}

TEST_F(ResultStoreTest, AnIdleStoreAsksNobodyWhetherItOwnsTheFile) {
  std::atomic<int> checks{0};
  ResultStore store =
      open({.commit_interval = 3ms, .on_durable = nullptr, .check_ownership = [&] { ++checks; }});
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(checks, 0);
  store.put(SampleRow(kShape, 1).result());
  store.flush();
  EXPECT_GE(checks, 1);
  store.close();
}

TEST_F(ResultStoreTest, AFlushInTheMiddleOfCloseReturnsWhenAllIsDurable) {
  const auto plan = std::make_shared<FaultPlan>();
  plan->hold_syncs = true;
  ResultStore store = open_faulty(plan);
  store.put(SampleRow(kShape, 1).result());
  std::jthread closer([&] { store.close(); });
  test::wait_for_a_sync(*plan);
  ExitCode code = ExitCode::internal;
  RowState seen = RowState::missing;
  std::jthread other([&] {
    code = code_of([&] { store.flush(); });
    seen = states()[1];
  });
  std::this_thread::sleep_for(20ms);  // long enough to be inside flush()
  test::release_syncs(*plan);
  other.join();
  closer.join();
  EXPECT_EQ(code, ExitCode::ok);
  EXPECT_EQ(seen, RowState::done);
}

TEST_F(ResultStoreTest, AFlushAfterCloseTellsHowCloseEnded) {
  ResultStore sound = open();
  sound.put(SampleRow(kShape, 1).result());
  sound.close();
  EXPECT_NO_THROW(sound.flush());

  const auto plan = std::make_shared<FaultPlan>();
  plan->syncs_left = 0;
  ResultStore broken = open_faulty(plan);
  broken.put(SampleRow(kShape, 2).result());
  EXPECT_THROW(broken.close(), IoError);
  EXPECT_THROW(broken.flush(), IoError);
}

TEST_F(ResultStoreTest, ADoneRowIsNotTouchedAgain) {
  const SampleRow sample(kShape, 20);
  const auto plan = std::make_shared<FaultPlan>();
  ResultStore store = open_faulty(plan);
  store.put(sample.result());
  store.flush();
  const int writes = plan->writes;
  store.put(sample.result());
  store.put(sample.result(4));  // as a run does that lost the file and has not noticed
  store.flush();
  EXPECT_EQ(plan->writes, writes);
  EXPECT_TRUE(test::holds(read(20), sample));
  EXPECT_EQ(states()[20], RowState::done);
  RowResult other = sample.result();
  other.finish_reason = FinishReason::eod;
  store.put(other);
  EXPECT_EQ(code_of([&] { store.flush(); }), ExitCode::internal);
  EXPECT_TRUE(test::holds(read(20), sample));
}

TEST_F(ResultStoreTest, ADoneRecordWithoutItsBytesIsMadeAgain) {
  // What a run leaves that lost the file in the moment between two writes.
  const SampleRow sample(kShape, 20);
  ResultStore store = open();
  store.put(sample.result());
  store.flush();
  test::flip_bit(path_, layout().tokens_at(20), 1);
  store.put(sample.result());
  store.flush();
  EXPECT_TRUE(test::holds(read(20), sample));
}

TEST_F(ResultStoreTest, TheLastOfSeveralPutsOfARowCounts) {
  const SampleRow sample(kShape, 20);
  ResultStore store = open();
  for (const std::size_t length : {2U, 5U, 8U}) store.put(sample.result(length));
  store.flush();
  EXPECT_EQ(states()[20], RowState::partial);
  EXPECT_EQ(read(20).tokens.size(), 8U);
}

TEST_F(ResultStoreTest, NeighboursAreWrittenTogether) {
  const auto plan = std::make_shared<FaultPlan>();
  ResultStore store = open_faulty(plan);
  for (const RowId row : {11, 13, 12, 14, 15, 16}) store.put(SampleRow(kShape, row).result());
  store.flush();
  EXPECT_LE(plan->writes, 4);  // tokens, logprobs, valid flags; records
  for (RowId row = 11; row <= 16; ++row) {
    EXPECT_TRUE(test::holds(read(row), SampleRow(kShape, row))) << row;
  }
}

TEST_F(ResultStoreTest, ACallerWithoutRowsLearnsOfAFailureToo) {
  const auto plan = std::make_shared<FaultPlan>();
  plan->syncs_left = 0;
  ResultStore store = open_faulty(plan);
  store.put(SampleRow(kShape, 1).result());
  EXPECT_NO_THROW(store.require_healthy());
  EXPECT_THROW(store.flush(), IoError);
  EXPECT_THROW(store.require_healthy(), IoError);
}

TEST_F(ResultStoreTest, ARemovedFileIsNoticed) {
  ResultStore store = open();
  store.put(SampleRow(kShape, 1).result());
  std::filesystem::remove(path_);
  EXPECT_THROW(store.flush(), IoError);
}

TEST_F(ResultStoreTest, DestroyingAStoreCommitsWhatItHas) {
  {
    ResultStore store = open();
    store.put(SampleRow(kShape, 1).result());
  }
  EXPECT_EQ(states()[1], RowState::done);
}

TEST_F(ResultStoreTest, ManyThreadsMayPutDifferentRows) {
  ResultStore store =
      open({.commit_interval = 3ms, .on_durable = nullptr, .check_ownership = nullptr});
  std::vector<std::thread> threads;
  for (RowId part = 0; part < 4; ++part) {
    threads.emplace_back([&, part] {
      for (RowId row = part; row < kShape.rows; row += 4) {
        store.put(SampleRow(kShape, row).result());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  store.close();
  for (RowId row = 0; row < kShape.rows; ++row) {
    EXPECT_TRUE(test::holds(read(row), SampleRow(kShape, row))) << row;
  }
}

}  // namespace
}  // namespace gridmill
