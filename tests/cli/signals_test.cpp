// What signals do to the binary as users run it.

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/results/recovery.hpp"

namespace gridmill::test {
namespace {

using Arguments = CliFixture::Arguments;

void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

/// Polls for a minute; tests that wait for more have failed.
template <typename Condition>
void wait_until(Condition condition, const std::string& what) {
  for (int i = 0; i < 1200; ++i) {
    if (condition()) return;
    sleep_ms(50);
  }
  throw std::runtime_error("waited a minute for " + what);
}

std::uint64_t rows_done(const std::string& path) {
  try {
    const ResultFile file = ResultFile::open(path);
    const auto states = scan_rows(file.rows(), file.layout(), 0, file.layout().shape.rows,
                                  {.threads = 1, .payload = false});
    return rows_in_state(states, RowState::done).size();
  } catch (const Error&) {
    return 0;  // not there yet
  }
}

/// A job in the background, on its way to out.h5. Killed if a test leaves it behind.
class RunningJob {
 public:
  RunningJob(const Arguments& options, int ranks) : ranks_(ranks) {
    Arguments command = {GRIDMILL_PROGRAM, "generate", "--output",    "out.h5", "--threads", "1",
                         "--progress",     "none",     "--log-level", "warn"};
    command.insert(command.end(), options.begin(), options.end());
    launcher_ = start_program(under_mpirun(ranks, command), cli().folder().path(), "err.txt");
  }
  RunningJob(const RunningJob&) = delete;
  RunningJob& operator=(const RunningJob&) = delete;
  ~RunningJob() {
    if (!ended_) {
      ::kill(launcher_, SIGKILL);
      wait_for_program(launcher_);
    }
  }

  [[nodiscard]] pid_t launcher() const { return launcher_; }
  [[nodiscard]] pid_t rank(int rank) const {
    if (ranks_ == 1) return launcher_;
    wait_until([&] { return ranks_of(launcher_).size() == static_cast<std::size_t>(ranks_); },
               "the ranks");
    return ranks_of(launcher_).at(static_cast<std::size_t>(rank));
  }
  int wait() {
    ended_ = true;
    return wait_for_program(launcher_);
  }
  [[nodiscard]] static std::string errors() { return slurp(cli().folder().path() / "err.txt"); }

 private:
  int ranks_;
  pid_t launcher_ = -1;
  bool ended_ = false;
};

enum class Target { rank_0, last_rank, launcher };

struct Stop {
  std::string name;
  Arguments grid;
  int ranks;
  int signal;
  Target target;
};

std::ostream& operator<<(std::ostream& out, const Stop& stop) { return out << stop.name; }

Arguments job_options(const Arguments& more) {
  Arguments options = {"--model",
                       "stories.h5",
                       "--prompts",
                       "prompts.txt",
                       "--samples-per-prompt",
                       "80",
                       "--max-length",
                       "200",
                       "--temperature",
                       "0.9",
                       "--commit-interval",
                       "100ms"};
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

/// The file of a run that nothing happened to.
const std::string& undisturbed_file() {
  static const std::string bytes = [] {
    const ProgramResult result = cli().generate(job_options({}), 2);
    if (result.exit_code != 0) throw std::runtime_error(result.err);
    return slurp(cli().file("out.h5"));
  }();
  return bytes;
}

class StopSignal : public ::testing::TestWithParam<Stop> {};

TEST_P(StopSignal, LeavesWith75AndTheNextRunMakesTheSameFile) {
  const Stop& stop = GetParam();
  const std::string& expected = undisturbed_file();
  cli().remove_output();
  // Few slots, so that the signal finds much left to do.
  Arguments options = job_options({"--slots", "1"});
  options.insert(options.end(), stop.grid.begin(), stop.grid.end());
  RunningJob job(options, stop.ranks);
  wait_until([] { return rows_done(cli().file("out.h5")) > 3; }, "rows");
  const pid_t target = stop.target == Target::launcher ? job.launcher()
                       : stop.target == Target::rank_0 ? job.rank(0)
                                                       : job.rank(stop.ranks - 1);
  ::kill(target, stop.signal);
  EXPECT_EQ(job.wait(), 75) << RunningJob::errors();
  EXPECT_EQ(cli().last_run().at("exit_code"), 75);
  const std::uint64_t done = rows_done(cli().file("out.h5"));
  EXPECT_LT(done, 320U) << "the job was over before the signal";
  const ResultFile file = cli().result();
  const auto states = scan_rows(file.rows(), file.layout(), 0, 320, {.payload = true});
  EXPECT_FALSE(rows_in_state(states, RowState::partial).empty()) << "begun rows are saved";

  EXPECT_EQ(cli().generate_again(job_options({}), 1).exit_code, 0);
  EXPECT_TRUE(slurp(cli().file("out.h5")) == expected);
}

const Arguments kOnce = {"--gather-params-once"};
const Arguments kLayers = {"--fsdp", "2", "--fsdp-min-weight-size", "0"};
const Arguments kTensors = {"--tp", "2"};

INSTANTIATE_TEST_SUITE_P(
    All, StopSignal,
    ::testing::Values(Stop{"SigtermToRank0", kOnce, 4, SIGTERM, Target::rank_0},
                      Stop{"SigtermToTheLastRank", kOnce, 4, SIGTERM, Target::last_rank},
                      Stop{"Sigusr1ToTheLastRank", kOnce, 4, SIGUSR1, Target::last_rank},
                      Stop{"Sigusr1ToMpirun", kOnce, 4, SIGUSR1, Target::launcher},
                      Stop{"PerLayerGathering", kLayers, 4, SIGTERM, Target::last_rank},
                      Stop{"PerLayerGatheringSigusr1ToMpirun", kLayers, 4, SIGUSR1,
                           Target::launcher},
                      Stop{"TensorParallel", kTensors, 4, SIGTERM, Target::last_rank},
                      Stop{"WithoutALauncher", {}, 1, SIGTERM, Target::rank_0},
                      Stop{"Interrupt", {}, 1, SIGINT, Target::rank_0}),
    [](const auto& stop) { return stop.param.name; });

const Arguments kStuck = {"--prompts", "prompts.txt", "--model", "never.h5"};

/// A model that nobody writes: every rank waits for it for ever.
class StuckJob : public ::testing::Test {
 protected:
  StuckJob() {
    cli().remove_output();
    const std::string fifo = cli().file("never.h5");
    std::filesystem::remove(fifo);
    if (::mkfifo(fifo.c_str(), 0600) != 0) throw std::runtime_error("mkfifo");
  }
  /// Handlers come first, but mpirun must have started the rank.
  static pid_t settled_rank(const RunningJob& job, int rank) {
    const pid_t pid = job.rank(rank);
    sleep_ms(2000);
    return pid;
  }
};

TEST_F(StuckJob, LeavesWith75AlthoughNoRankGetsOutOfLoading) {
  for (const int ranks : {1, 2}) {
    RunningJob job(kStuck, ranks);
    ::kill(settled_rank(job, ranks - 1), SIGTERM);
    EXPECT_EQ(job.wait(), 75) << RunningJob::errors();
    EXPECT_NE(RunningJob::errors().find("in the middle of a long step"), std::string::npos)
        << RunningJob::errors();
  }
}

TEST_F(StuckJob, LeavesAtOnceAtASecondSignal) {
  RunningJob job(kStuck, 2);
  const pid_t rank = settled_rank(job, 1);
  ::kill(rank, SIGTERM);
  sleep_ms(1500);
  ::kill(rank, SIGTERM);
  EXPECT_EQ(job.wait(), 75) << RunningJob::errors();
  EXPECT_NE(RunningJob::errors().find("at once by a second signal"), std::string::npos)
      << RunningJob::errors();
}

TEST_F(StuckJob, CountsWhatLaunchersRepeatAsOneSignal) {
  RunningJob job(kStuck, 1);
  const pid_t rank = settled_rank(job, 0);
  for (int i = 0; i < 5; ++i) ::kill(rank, SIGTERM);
  EXPECT_EQ(job.wait(), 75);
  EXPECT_EQ(RunningJob::errors().find("at once"), std::string::npos) << RunningJob::errors();
}

TEST_F(StuckJob, LeavesAtTheTimeLimit) {
  RunningJob job({"--prompts", "prompts.txt", "--model", "never.h5", "--time-limit", "1s"}, 2);
  EXPECT_EQ(job.wait(), 75) << RunningJob::errors();
}

TEST(StartingJob, ARankThatWaitsForAnotherToStartLeavesAtOnce) {
  cli().remove_output();
  // The second rank never becomes gridmill, so the first one never gets out of MPI_Init.
  const Arguments job = under_mpirun(
      2, {"bash", "-c", "mkdir started || exec sleep 60; exec \"$@\"", "bash", GRIDMILL_PROGRAM,
          "generate", "--model", "stories.h5", "--prompts", "prompts.txt", "--output", "out.h5"});
  std::filesystem::remove(cli().file("started"));
  const pid_t launcher = start_program(job, cli().folder().path(), "err.txt");
  const auto program = [&]() -> pid_t {
    for (const pid_t child : children_of(launcher)) {
      std::ifstream name("/proc/" + std::to_string(child) + "/comm");
      std::string text;
      if (name >> text && text == "gridmill") return child;
    }
    return 0;
  };
  wait_until([&] { return program() != 0; }, "a rank to start");
  sleep_ms(2000);  // into MPI_Init
  const auto start = std::chrono::steady_clock::now();
  ::kill(program(), SIGTERM);
  EXPECT_EQ(wait_for_program(launcher), 75) << RunningJob::errors();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  EXPECT_FALSE(std::filesystem::exists(cli().file("out.h5")));
}

TEST_F(StuckJob, ACommandThatDoesNotStopCleanlyEndsAsTheSystemSays) {
  const pid_t program = start_program({GRIDMILL_PROGRAM, "tokenize", "--tokenizer", "never.h5"},
                                      cli().folder().path(), "err.txt");
  sleep_ms(1000);
  ::kill(program, SIGINT);
  EXPECT_EQ(wait_for_program(program), 128 + SIGINT);
}

TEST(ContinueSignal, CommitsWhatIsFinished) {
  cli().remove_output();
  RunningJob job({"--model", "stories.h5", "--prompts", "prompts.txt", "--samples-per-prompt",
                  "5000", "--commit-interval", "1h"},
                 2);
  const std::string output = cli().file("out.h5");
  wait_until([&] { return std::filesystem::exists(output + ".runs.jsonl"); }, "the run to begin");
  sleep_ms(2000);
  EXPECT_EQ(rows_done(output), 0U) << "no commit is due";
  for (const int rank : {0, 1}) ::kill(job.rank(rank), SIGCONT);
  wait_until([&] { return rows_done(output) > 0; }, "a commit");
}

}  // namespace
}  // namespace gridmill::test
