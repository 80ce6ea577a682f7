// The binary under the limits that shells, containers and schedulers set.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill::test {
namespace {

using Words = CliFixture::Arguments;
namespace fs = std::filesystem;

/// `gridmill ARGUMENTS` in a shell that first runs `preparation`.
ProgramResult run_after(const std::string& preparation, const Words& arguments) {
  Words command = {"bash", "-c", preparation + " && exec \"$@\"", "bash", GRIDMILL_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, cli().folder().path());
}

/// Names that begin with `name` in the folder of the tests, `name` itself aside.
Words files_beside(const std::string& name) {
  Words found;
  for (const auto& entry : fs::directory_iterator(cli().folder().path())) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with(name) && file != name) found.push_back(file);
  }
  std::sort(found.begin(), found.end());
  return found;
}

/// One line that names the limit.
testing::AssertionResult names_the_limit(const ProgramResult& result, int code) {
  if (result.exit_code != code) {
    return testing::AssertionFailure() << "exit code " << result.exit_code << ": " << result.err;
  }
  if (result.err.find("ulimit -f") == std::string::npos) {
    return testing::AssertionFailure() << "does not name the limit: " << result.err;
  }
  return testing::AssertionSuccess();
}

constexpr const char* kSmallFiles = "ulimit -f 100";  // 100 KiB
/// For commands with MPI, whose own files in memory count, too: 12 MiB, less than the records of
/// kManyRows.
constexpr const char* kMediumFiles = "ulimit -f 12000";

/// `generate` with defaults, which options in `more` replace.
Words generate_words(const Words& more) {
  Words words = {"generate"};
  const std::vector<std::pair<std::string, std::string>> defaults = {
      {"--model", "stories.h5"}, {"--prompts", "prompts.txt"}, {"--output", "out.h5"},
      {"--progress", "none"},    {"--threads", "1"},           {"--log-level", "warn"},
      {"--max-length", "24"}};
  for (const auto& [name, value] : defaults) {
    if (std::find(more.begin(), more.end(), name) == more.end()) {
      words.insert(words.end(), {name, value});
    }
  }
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// 400,000 rows, whose records take 12.8 MB at the beginning of the file.
const Words kManyRows = {"--samples-per-prompt", "100000"};

TEST(FileSizeLimit, GenerateDoesNotBegin) {
  cli().remove_output();
  EXPECT_TRUE(names_the_limit(run_after(kMediumFiles, generate_words(kManyRows)), 73));
  EXPECT_FALSE(fs::exists(cli().file("out.h5")));
  EXPECT_EQ(files_beside("out.h5"), Words{"out.h5.lock"});
}

TEST(FileSizeLimit, GenerateThatMeetsTheLimitLaterSaysSo) {
  cli().remove_output();
  Words stopped = generate_words(kManyRows);
  stopped.insert(stopped.end(), {"--time-limit", "0.1s"});
  ASSERT_EQ(cli().run(stopped).exit_code, 75);
  ASSERT_TRUE(fs::exists(cli().file("out.h5")));
  EXPECT_TRUE(names_the_limit(run_after(kMediumFiles, generate_words(kManyRows)), 74));
  EXPECT_EQ(files_beside("out.h5"), (Words{"out.h5.lock", "out.h5.runs.jsonl"}));
  EXPECT_EQ(cli().last_run().at("exit_code"), 74);
  cli().remove_output();
}

TEST(FileSizeLimit, ConvertLeavesNothing) {
  const std::string models = GRIDMILL_MODELS_DIR;
  EXPECT_TRUE(names_the_limit(
      run_after(kSmallFiles, {"convert", models + "/stories260K/stories260K.bin", "small.h5",
                              "--tokenizer", models + "/stories260K/tok512.bin"}),
      73));
  EXPECT_EQ(files_beside("small"), Words{});
}

TEST(FileSizeLimit, ScoreLeavesNothing) {
  std::string lines;
  for (int line = 0; line < 2000; ++line) lines += "Tim had a red ball. He\n";  // 40 MB of logits
  cli().folder().write("many.txt", lines);
  EXPECT_TRUE(names_the_limit(
      run_after(kMediumFiles, {"score", "--model", "stories.h5", "--prompts", "many.txt",
                               "--output", "scores.h5", "--logits", "--threads", "1"}),
      73));
  EXPECT_EQ(files_beside("scores"), Words{"scores.h5.lock"});
}

TEST(FileSizeLimit, ExportLeavesNothing) {
  ASSERT_EQ(cli().generate({"--samples-per-prompt", "50", "--max-length", "200"}).exit_code, 0);
  EXPECT_TRUE(
      names_the_limit(run_after("ulimit -f 4", {"export", "out.h5", "-o", "rows.jsonl"}), 74));
  EXPECT_EQ(files_beside("rows"), Words{});
  EXPECT_TRUE(
      names_the_limit(run_after("ulimit -f 4 && exec > rows.txt", {"export", "out.h5"}), 74));
  fs::remove(cli().file("rows.txt"));
}

/// A control group of this machine, gone at the end of the test.
class ControlGroup {
 public:
  /// @param controller  memory or pids. Not made if root is needed and missing.
  explicit ControlGroup(const std::string& controller) {
    const std::string name = "gridmill-test-" + std::to_string(::getpid());
    for (const std::string& top : {"/sys/fs/cgroup/" + controller, std::string("/sys/fs/cgroup")}) {
      const fs::path folder = fs::path(top) / name;
      std::error_code error;
      if (!fs::create_directory(folder, error)) continue;
      folder_ = folder;
      version1_ = fs::exists(folder / "cgroup.clone_children");
      const fs::path limit = folder / limit_of(controller);
      if (fs::exists(limit)) return;
      fs::remove(folder, error);  // the controller is not handed on to this place
      folder_.clear();
    }
  }
  ControlGroup(const ControlGroup&) = delete;
  ControlGroup& operator=(const ControlGroup&) = delete;
  ~ControlGroup() {
    std::error_code ignored;
    if (made()) fs::remove(folder_, ignored);
  }
  [[nodiscard]] bool made() const { return !folder_.empty(); }
  void limit(const std::string& controller, const std::string& value) const {
    std::ofstream(folder_ / limit_of(controller)) << value;
  }
  /// The most memory that the group has had, in bytes; 0 if this system does not say.
  [[nodiscard]] std::uint64_t peak_bytes() const {
    std::ifstream file(folder_ / (version1_ ? "memory.max_usage_in_bytes" : "memory.peak"));
    std::uint64_t bytes = 0;
    return file >> bytes ? bytes : 0;
  }
  /// Shell words that put the shell into the group.
  [[nodiscard]] std::string enter() const {
    return "echo $$ > " + (folder_ / "cgroup.procs").string();
  }

 private:
  [[nodiscard]] std::string limit_of(const std::string& controller) const {
    return controller == "memory" && version1_ ? "memory.limit_in_bytes" : controller + ".max";
  }
  fs::path folder_;
  bool version1_ = false;
};

TEST(MemoryLimit, SlotsAutoKnowsTheControlGroup) {
  const ControlGroup group("memory");
  if (!group.made()) GTEST_SKIP() << "needs root and a memory controller";
  const auto generate = [&](const Words& more) {
    cli().remove_output();
    Words words = {"generate", "--model",    "stories.h5", "--output",    "out.h5", "--threads",
                   "1",        "--progress", "none",       "--log-level", "error",  "--allow-long"};
    words.insert(words.end(), more.begin(), more.end());
    return run_after(group.enter(), words);
  };
  // What a process takes without rows in flight.
  ASSERT_EQ(generate({"--prompts", "prompts.txt", "--max-length", "24", "--slots", "1"}).exit_code,
            0);
  const std::uint64_t process_bytes = group.peak_bytes();
  if (process_bytes == 0) GTEST_SKIP() << "needs the peak of a control group";
  // Rows of 560 tokens with 1,280 bytes each: 64 of them at once take 44 MiB.
  std::string prompts;
  for (int prompt = 0; prompt < 64; ++prompt) {
    prompts += "Story " + std::to_string(prompt) + ".";
    for (int word = 0; word < 490; ++word) prompts += " a";
    prompts += "\n";
  }
  cli().folder().write("long.txt", prompts);
  group.limit("memory", std::to_string(process_bytes + (32 << 20)));
  const ProgramResult result =
      generate({"--prompts", "long.txt", "--max-length", "600", "--max-new-tokens", "70",
                "--eod-token-id", "-1", "--slots", "auto"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST(ThreadLimit, ThreadsThatCannotBeMadeAreOneLine) {
  const ControlGroup group("pids");
  if (!group.made()) GTEST_SKIP() << "needs root and a pids controller";
  // One rank alone has a few threads of its own and of MPI.
  group.limit("pids", "40");
  cli().remove_output();
  const ProgramResult result =
      run_after(group.enter(), generate_words({"--threads", "100", "--log-level", "error"}));
  EXPECT_EQ(result.exit_code, 69) << result.err;
  EXPECT_NE(result.err.find("cannot start a thread for the CPU kernels"), std::string::npos)
      << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_FALSE(fs::exists(cli().file("out.h5")));
}

TEST(ThreadLimit, FarMoreThreadsThanCoresAreWarnedOfOnce) {
  // Without a model, so that no thread is started: the warning comes first.
  const auto warnings = [](const std::string& threads) {
    const ProgramResult result = cli().generate({"--threads", threads, "--model", "none.h5"}, 2);
    EXPECT_EQ(result.exit_code, 66) << result.err;
    int count = 0;
    for (std::size_t at = result.err.find("--threads is"); at != std::string::npos;
         at = result.err.find("--threads is", at + 1)) {
      ++count;
    }
    return count;
  };
  const long cores = ::sysconf(_SC_NPROCESSORS_ONLN);
  EXPECT_EQ(warnings(std::to_string(8 * cores)), 1);
  EXPECT_EQ(warnings("1"), 0);
}

}  // namespace
}  // namespace gridmill::test
