#include "job/emergency_exit.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "gridmill/results/recovery.hpp"
#include "job/last_words.hpp"
#include "support/temporary_folder.hpp"
#include "unit/results/faulty_row_file.hpp"
#include "unit/results/sample.hpp"

namespace gridmill::job_detail {
namespace {

using namespace std::chrono_literals;
using test::FaultPlan;
using test::FaultyRowFile;
using test::SampleRow;

constexpr ResultShape kShape{
    .rows = 10, .samples_per_prompt = 1, .max_length = 40, .logprobs = 0, .valid = 0};

/// A result file with a store that commits only when told to, and a process whose exit is noted.
class EmergencyExitTest : public ::testing::Test {
 protected:
  EmergencyExitTest() {
    test::create_sample(path_, kShape);
    store_.emplace(std::make_unique<FaultyRowFile>(path_, disk_), ResultFile::open(path_).layout(),
                   ResultStoreOptions{.commit_interval = std::chrono::hours{1},
                                      .on_durable = nullptr,
                                      .check_ownership = nullptr});
  }
  ~EmergencyExitTest() override { test::release_syncs(*disk_); }

  void start(int rank = 0) {
    exit_.emplace(EmergencyExitOptions{.rank = rank,
                                       .patience = 7s,
                                       .others_commit = 0ms,
                                       .say = [this](const std::string& line) { said_ += line; },
                                       .exit = [this](ExitCode code) { code_.set_value(code); }});
  }
  void arm() {
    LastWords words = last_words(&*store_, nullptr);
    words.farewell = [this](const Error& why) { farewell_ = why.what(); };
    exit_->arm(std::move(words));
  }
  void put(RowId row) { store_->put(SampleRow(kShape, row).result()); }
  /// An alarm is acted on at the second look.
  void look_twice(WatchFindings findings) {
    findings.now = now_;
    exit_->look(findings);
    exit_->look(findings);
  }
  /// The code with which the process left; a minute is for ever.
  [[nodiscard]] ExitCode code() {
    if (left_.wait_for(60s) != std::future_status::ready) return ExitCode::internal;
    return left_.get();
  }
  [[nodiscard]] bool still_here() const {
    return left_.wait_for(50ms) != std::future_status::ready;
  }
  [[nodiscard]] RowState state(RowId row) const {
    const ResultFile file = ResultFile::open(path_);
    return scan_rows(file.rows(), file.layout(), row, 1).front();
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
  std::shared_ptr<FaultPlan> disk_ = std::make_shared<FaultPlan>();
  std::optional<ResultStore> store_;
  std::promise<ExitCode> code_;
  std::future<ExitCode> left_ = code_.get_future();
  std::string said_;
  std::string farewell_;
  SteadyClock::time_point now_ = SteadyClock::now();
  std::optional<EmergencyExit> exit_;  // last: its thread uses what stands above
};

TEST_F(EmergencyExitTest, ASecondSignalCommitsAndLeaves) {
  start();
  arm();
  put(1);
  look_twice({.alarm = Alarm::at_once});
  EXPECT_EQ(code(), ExitCode::stopped_early);
  EXPECT_EQ(state(1), RowState::done);
  EXPECT_NE(said_.find("at once by a second signal; finished rows are committed"),
            std::string::npos)
      << said_;
  EXPECT_NE(farewell_, "");
}

/// Every way out, while the main thread is in the last commit on a slow disk.
class DuringTheLastCommit : public EmergencyExitTest {
 protected:
  DuringTheLastCommit() {
    start();
    arm();
    put(1);
    disk_->hold_syncs = true;
    closer_ = std::jthread([this] { store_->close(); });
    test::wait_for_a_sync(*disk_);
  }
  ~DuringTheLastCommit() override { test::release_syncs(*disk_); }
  void expect_it_leaves_after_the_commit(ExitCode expected) {
    EXPECT_TRUE(still_here()) << "it left before the rows were durable";
    EXPECT_EQ(said_, "");
    test::release_syncs(*disk_);
    EXPECT_EQ(code(), expected) << said_;
    EXPECT_EQ(state(1), RowState::done);
    EXPECT_NE(said_.find("finished rows are committed"), std::string::npos) << said_;
  }
  std::jthread closer_;
};

TEST_F(DuringTheLastCommit, ASecondSignalWaitsForIt) {
  look_twice({.alarm = Alarm::at_once});
  expect_it_leaves_after_the_commit(ExitCode::stopped_early);
}

TEST_F(DuringTheLastCommit, TheEndOfPatienceWaitsForIt) {
  look_twice({.alarm = Alarm::stop});
  EXPECT_TRUE(still_here()) << "seven seconds are not over";
  now_ += 8s;
  look_twice({.alarm = Alarm::stop});
  expect_it_leaves_after_the_commit(ExitCode::stopped_early);
}

TEST_F(DuringTheLastCommit, ALostHostWaitsForIt) {
  look_twice({.alarm = Alarm::lost, .lost = "rank 3 on node17"});
  expect_it_leaves_after_the_commit(ExitCode::system);
  EXPECT_NE(said_.find("rank 3 on node17 is gone or cut off"), std::string::npos) << said_;
}

TEST_F(DuringTheLastCommit, ARequestToCommitDoesNoHarm) {
  look_twice({.commit_requested = true});
  test::release_syncs(*disk_);
  closer_.join();
  exit_->arm({});
  EXPECT_TRUE(still_here());
  EXPECT_EQ(state(1), RowState::done);
}

TEST_F(EmergencyExitTest, ALookNeverWaitsForTheDisk) {
  start();
  arm();
  put(1);
  disk_->hold_syncs = true;
  look_twice({.commit_requested = true});
  test::wait_for_a_sync(*disk_);
  // Had the commit run in here, no look would return before the disk does.
  for (int i = 0; i < 10; ++i) look_twice({.commit_requested = true});
  look_twice({.alarm = Alarm::at_once});
  EXPECT_TRUE(still_here());
  test::release_syncs(*disk_);
  EXPECT_EQ(code(), ExitCode::stopped_early);
  EXPECT_EQ(state(1), RowState::done);
}

TEST_F(EmergencyExitTest, ACommitThatFailsIsSaidAndGivesTheCode) {
  start(5);  // another rank than 0: it alone knows
  arm();
  disk_->syncs_left = 0;
  put(1);
  look_twice({.alarm = Alarm::at_once});
  EXPECT_EQ(code(), ExitCode::io);
  EXPECT_EQ(state(1), RowState::missing);
  EXPECT_EQ(said_.find("finished rows are committed"), std::string::npos) << said_;
  EXPECT_NE(said_.find("the last commit failed"), std::string::npos) << said_;
  EXPECT_NE(farewell_.find("the last commit failed"), std::string::npos) << farewell_;
}

TEST_F(EmergencyExitTest, TheRunLogOfARunThatTookOverIsLeftAlone) {
  start();
  LastWords words;
  words.commit = [] { throw OutputError("another run has taken over"); };
  words.farewell = [this](const Error& why) { farewell_ = why.what(); };
  exit_->arm(std::move(words));
  look_twice({.alarm = Alarm::lost});
  EXPECT_EQ(code(), ExitCode::system);
  EXPECT_EQ(farewell_, "");
}

TEST_F(EmergencyExitTest, OneLineAJobComesFromRank0) {
  start(1);
  look_twice({.alarm = Alarm::at_once});
  EXPECT_EQ(code(), ExitCode::stopped_early);
  EXPECT_EQ(said_, "");
}

TEST_F(EmergencyExitTest, DisarmingWaitsForAnExitThatHasBegun) {
  start();
  arm();
  put(1);
  disk_->hold_syncs = true;
  look_twice({.alarm = Alarm::at_once});
  test::wait_for_a_sync(*disk_);
  std::atomic<bool> disarmed{false};
  std::jthread main_thread([&] {
    exit_->arm({});
    disarmed = true;
  });
  EXPECT_TRUE(still_here());
  EXPECT_FALSE(disarmed) << "the store could be destroyed under the commit";
  test::release_syncs(*disk_);
  EXPECT_EQ(code(), ExitCode::stopped_early);
}

}  // namespace
}  // namespace gridmill::job_detail
