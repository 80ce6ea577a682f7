// Processes that are killed while they write: what they reported as durable is there, what is there
// is right, and the finished file equals that of a run that nobody killed.

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_store.hpp"
#include "gridmill/results/run_lock.hpp"
#include "support/temporary_folder.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::create_sample;
using test::SampleRow;
using test::TemporaryFolder;

constexpr ResultShape kShape{
    .rows = 1500, .samples_per_prompt = 3, .max_length = 64, .logprobs = 1};

/// Writes the missing rows of one rank (those with row % ranks == rank) and reports durable ones as
/// raw numbers through `report`. Never returns.
[[noreturn]] void write_rows(const std::string& path, const ResultLayout& layout, int rank,
                             int ranks, int report) {
  try {
    const auto states = scan_rows(*open_row_file(path, false), layout, 0, kShape.rows);
    const auto acknowledge = [report](std::span<const RowId> rows) {
      const auto bytes = std::as_bytes(rows);
      if (::write(report, bytes.data(), bytes.size()) < 0) ::_exit(3);
    };
    ResultStore store = ResultStore::open(path, layout,
                                          {.commit_interval = std::chrono::milliseconds{3},
                                           .on_durable = acknowledge,
                                           .check_ownership = nullptr});
    for (RowId row = static_cast<RowId>(rank); row < kShape.rows;
         row += static_cast<RowId>(ranks)) {
      if (states[row] == RowState::damaged) store.discard(std::array{row});
      if (states[row] == RowState::done || states[row] == RowState::failed) continue;
      store.put(SampleRow(kShape, row).result());
      // Slow enough that no machine is through before the kills: at least 1500 / 4 / 3 naps of 0.5
      // ms.
      if (row % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds{500});
    }
    store.close();
    ::_exit(0);
  } catch (const std::exception&) {
    ::_exit(2);
  }
}

/// One run of `ranks` processes, killed after `life` (0 = never). Adds what was reported to
/// `durable`.
/// @return whether all ended by themselves.
bool run_and_kill(const std::string& path, const ResultLayout& layout, int ranks,
                  std::chrono::microseconds life, std::set<RowId>& durable) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe(ends.data()), 0);
  std::vector<pid_t> processes;
  for (int rank = 0; rank < ranks; ++rank) {
    const pid_t process = ::fork();
    if (process == 0) {
      ::close(ends[0]);
      write_rows(path, layout, rank, ranks, ends[1]);
    }
    processes.push_back(process);
  }
  ::close(ends[1]);
  // Read on a thread: a full pipe would stop the writers.
  std::thread reader([&] {
    RowId row = 0;
    while (::read(ends[0], &row, sizeof(row)) == sizeof(row)) durable.insert(row);
  });
  if (life.count() > 0) {
    std::this_thread::sleep_for(life);
    for (const pid_t process : processes) ::kill(process, SIGKILL);
  }
  bool finished = true;
  for (const pid_t process : processes) {
    int status = 0;
    ::waitpid(process, &status, 0);
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
    } else {
      finished = false;
    }
  }
  reader.join();
  ::close(ends[0]);
  return finished;
}

TEST(KilledWriters, LoseNoDurableRowAndTheFinishedFileIsTheSame) {
  const TemporaryFolder folder;
  const std::string whole = folder.file("whole.h5");
  create_sample(whole, kShape);
  const ResultLayout layout = ResultFile::open(whole).layout();
  {
    ResultStore store = ResultStore::open(whole, layout);
    for (RowId row = 0; row < kShape.rows; ++row) store.put(SampleRow(kShape, row).result());
    store.close();
  }
  const std::string path = folder.file("killed.h5");
  create_sample(path, kShape);
  std::set<RowId> durable;
  int kills = 0;
  for (int run = 0; run < 60; ++run) {
    const int ranks = 1 + run % 3;
    const std::chrono::microseconds life{3000 + run * 7919 % 25000};
    const bool finished = run_and_kill(path, layout, ranks, life, durable);
    const ResultFile file = ResultFile::open(path);
    const auto states = scan_rows(file.rows(), layout, 0, kShape.rows);
    for (const RowId row : durable) {
      ASSERT_TRUE(states[row] == RowState::done || states[row] == RowState::failed) << row;
    }
    ASSERT_TRUE(rows_in_state(states, RowState::damaged).empty());
    if (finished) break;
    ++kills;
  }
  EXPECT_GT(kills, 2);
  EXPECT_FALSE(durable.empty());
  // The last run may have been killed before its report, never before its rows.
  std::set<RowId> ignored;
  EXPECT_TRUE(run_and_kill(path, layout, 1, std::chrono::microseconds{0}, ignored));
  EXPECT_EQ(read_text_file(path), read_text_file(whole));
}

TEST(KilledHolder, OfTheLockIsNoObstacle) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const pid_t process = ::fork();
  if (process == 0) {
    // Held until this process is killed.
    const RunLock lock = RunLock::acquire(output);  // NOLINT(clang-analyzer-deadcode.DeadStores)
    const char held = 'x';
    if (::write(ends[1], &held, 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char held = 0;
  ASSERT_EQ(::read(ends[0], &held, 1), 1);
  EXPECT_THROW(static_cast<void>(RunLock::acquire(output)), OutputError);
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  EXPECT_EQ(RunLock::acquire(output).epoch().number, 2U);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(KilledCreator, LeavesNoFileOrAWholeOne) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  int whole = 0;
  for (int run = 0; run < 30; ++run) {
    const pid_t process = ::fork();
    if (process == 0) {
      try {
        create_sample(path, kShape);
      } catch (const std::exception&) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds{run * 500});
    ::kill(process, SIGKILL);
    ::waitpid(process, nullptr, 0);
    if (std::filesystem::exists(path)) {
      ++whole;
      EXPECT_EQ(ResultFile::open(path).layout().shape, kShape);
      std::filesystem::remove(path);
    }
  }
  RecordProperty("files", whole);
}

}  // namespace
}  // namespace gridmill
