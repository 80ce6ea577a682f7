// A job in parts (`--part K/N`), and `gridmill merge`, which makes one file of theirs.

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_store.hpp"
#include "gridmill/results/run_lock.hpp"
#include "gridmill/results/run_log.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;
using Words = std::vector<std::string>;

constexpr std::uint64_t kPrompts = 10;
constexpr std::uint64_t kSamples = 2;

/// Ten prompts, two samples of each: 20 rows. A folder of its own for the files of each test.
class Merge : public ::testing::Test {
 protected:
  Merge() {
    fs::remove_all(cli().file("parts"));
    fs::create_directories(cli().file("parts"));
    std::string text;
    for (std::uint64_t i = 0; i < kPrompts; ++i) {
      text += "Once " + std::string(i, 'a') + " cat saw\n";
    }
    cli().folder().write("parts/prompts.txt", text);
  }

  static ProgramResult generate(const std::string& output, const Words& more = {}, int ranks = 1) {
    Words words = {"--output", path(output)};
    const Words defaults = {"--prompts",
                            path("prompts.txt"),
                            "--samples-per-prompt",
                            "2",
                            "--temperature",
                            "1",
                            "--max-length",
                            "40"};
    for (std::size_t i = 0; i < defaults.size(); i += 2) {
      if (std::find(more.begin(), more.end(), defaults[i]) != more.end()) continue;
      words.insert(words.end(), {defaults[i], defaults[i + 1]});
    }
    words.push_back("--logprobs");
    words.insert(words.end(), more.begin(), more.end());
    return cli().generate_again(words, ranks);
  }
  static void make(const std::string& output, const Words& more = {}, int ranks = 1) {
    const ProgramResult result = generate(output, more, ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void make_parts(std::uint64_t of) {
    for (std::uint64_t k = 1; k <= of; ++k) {
      make("part-" + std::to_string(k) + ".h5",
           {"--part", std::to_string(k) + "/" + std::to_string(of)});
    }
  }
  static ProgramResult merge(const std::string& output, const Words& parts) {
    Words words = {"merge", path(output)};
    for (const std::string& part : parts) words.push_back(path(part));
    return cli().run(words);
  }
  static std::string path(const std::string& name) { return "parts/" + name; }
  static std::string full(const std::string& name) { return cli().file(path(name)); }
  static std::string bytes(const std::string& name) { return slurp(full(name)); }
  static void copy(const std::string& from, const std::string& to) {
    fs::copy_file(full(from), full(to), fs::copy_options::overwrite_existing);
  }
  static RowState state(const std::string& name, RowId row) {
    const ResultFile file = ResultFile::open(full(name));
    return scan_rows(file.rows(), file.layout(), row, 1).front();
  }
  /// Another content of a row, stored as gridmill stores one.
  static void forge(const std::string& name, RowId row, RowStatus status) {
    const ResultFile file = ResultFile::open(full(name));
    const StoredRow old = file.read_row(row);
    ResultStore store = ResultStore::open(file.path(), file.layout());
    store.discard(std::vector<RowId>{row});
    store.flush();
    std::vector<TokenId> tokens = old.tokens;
    std::vector<float> logprobs = old.logprobs;
    if (status == RowStatus::failed) {
      tokens.clear();
      logprobs.clear();
    } else {
      tokens.back() += 1;
    }
    store.put(
        {.row = row,
         .status = status,
         .finish_reason = status == RowStatus::failed ? FinishReason::error : FinishReason::length,
         .prefix_length = status == RowStatus::failed ? 0 : old.record.prefix_length,
         .tokens = tokens,
         .logprobs = logprobs,
         .failure = status == RowStatus::failed ? "not a number" : ""});
    store.close();
  }
  static std::vector<std::string> temporary_files() {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(cli().file("parts"))) {
      if (entry.path().extension() == ".tmp") found.push_back(entry.path().string());
    }
    return found;
  }
};

TEST_F(Merge, AllPartsMakeTheFileOfAnUndividedJob) {
  make("whole.h5");
  make("part-1.h5", {"--part", "1/3"}, 2);
  make("part-2.h5", {"--part", "2/3", "--tp", "2"}, 2);
  make("part-3.h5", {"--part", "3/3", "--slots", "1"});
  const ProgramResult result = merge("out.h5", {"part-3.h5", "part-1.h5", "part-2.h5"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out,
            "parts/out.h5: 20 of 20 rows done, 0 failed, 0 missing; 3 files joined, 0 rows were in "
            "more than one\n");
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
  EXPECT_TRUE(temporary_files().empty());
}

TEST_F(Merge, TheRunLogJoinsThoseOfTheParts) {
  make_parts(2);
  make("part-1.h5", {"--part", "1/2"});  // a second run, which finds all rows done
  ASSERT_EQ(merge("out.h5", {"part-1.h5", "part-2.h5"}).exit_code, 0);
  const std::vector<Json> runs = newest_runs(full("out.h5"), 99);
  ASSERT_EQ(runs.size(), 4U);
  for (std::size_t i = 1; i < runs.size(); ++i) {
    EXPECT_LE(runs[i - 1].at("start").get<std::string>(), runs[i].at("start").get<std::string>());
  }
  EXPECT_EQ(runs.back().at("merged").size(), 2U);
  EXPECT_FALSE(runs.back().contains("part"));
  EXPECT_EQ(runs[0].at("part"), "1/2");
  // Model and prompts are known, so that export and report need no option.
  EXPECT_EQ(cli().run({"export", path("out.h5"), "-o", path("out.jsonl")}).exit_code, 0);
  EXPECT_EQ(cli().run({"report", path("out.h5"), "-o", path("out.html")}).exit_code, 0);
  EXPECT_EQ(cli().run({"status", path("out.h5")}).exit_code, 0);
  EXPECT_EQ(cli().run({"inspect", path("out.h5")}).exit_code, 0);
}

TEST_F(Merge, APartHoldsAndCountsItsRangeOnly) {
  const ProgramResult run =
      generate("part.h5", {"--part", "2/3", "--progress", "json", "--log-level", "info"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  // 10 prompts are 4, 3 and 3.
  EXPECT_NE(run.err.find("part 2 of 3: prompts 4 to 6, 6 of the job's 20 rows"), std::string::npos)
      << run.err;
  EXPECT_NE(run.err.find("\"rows_done\":6,\"rows_total\":6"), std::string::npos) << run.err;
  EXPECT_NE(run.err.find("holds part 2 of 3: 6 of its 6 rows are done, 0 failed; of the 14 rows of "
                         "other parts it holds 0"),
            std::string::npos)
      << run.err;
  for (RowId row = 0; row < kPrompts * kSamples; ++row) {
    EXPECT_EQ(state("part.h5", row), row >= 8 && row < 14 ? RowState::done : RowState::missing)
        << row;
  }
  const ProgramResult text = cli().run({"status", path("part.h5")});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out.rfind("parts/part.h5: part 2/3: 6 of 6 rows done", 0), 0U) << text.out;
  const Json json = Json::parse(cli().run({"status", path("part.h5"), "--json"}).out);
  EXPECT_EQ(json.at("rows"), 6);
  EXPECT_EQ(json.at("left"), 0);
  EXPECT_EQ(json.at("part"), "2/3");
  EXPECT_EQ(json.at("first_row"), 8);
  const ProgramResult watched = cli().run({"status", path("part.h5"), "--watch"});
  EXPECT_EQ(watched.exit_code, 0) << watched.err;
  EXPECT_EQ(watched.out.rfind("6/6 rows", 0), 0U) << watched.out;
}

TEST_F(Merge, APartContinuedWithoutPartDoesTheRest) {
  make("whole.h5");
  make("part.h5", {"--part", "2/3"});
  make("part.h5", {"--part", "3/3"}, 2);  // another part into the same file
  EXPECT_EQ(Json::parse(cli().run({"status", path("part.h5"), "--json"}).out).at("rows"), 6);
  make("part.h5");
  EXPECT_TRUE(bytes("part.h5") == bytes("whole.h5"));
  EXPECT_EQ(Json::parse(cli().run({"status", path("part.h5"), "--json"}).out).at("rows"), 20);
}

TEST_F(Merge, PartIsAConfigKeyAndShowsItsPrompts) {
  cli().folder().write("parts/job.cfg", "part = 3/3\n");
  make("part.h5", {"--config", path("job.cfg")});
  EXPECT_EQ(state("part.h5", 14), RowState::done);
  EXPECT_EQ(state("part.h5", 13), RowState::missing);
  const ProgramResult shown = generate("none.h5", {"--part", "3/3", "--show", "1"});
  EXPECT_EQ(Json::parse(shown.out).at("prompt"), 7);
}

TEST_F(Merge, APartWithoutPromptsIsDoneAtOnce) {
  const ProgramResult run = generate("part.h5", {"--part", "12/12", "--log-level", "info"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.err.find("part 12 of 12 has no prompt"), std::string::npos) << run.err;
  EXPECT_EQ(cli().run({"status", path("part.h5")}).exit_code, 0);
}

TEST_F(Merge, MissingPartsAreNamedAndMayComeLater) {
  make("whole.h5");
  make_parts(3);
  const ProgramResult result = merge("out.h5", {"part-1.h5", "part-3.h5"});
  EXPECT_EQ(result.exit_code, 75);
  EXPECT_NE(result.out.find("14 of 20 rows done, 0 failed, 6 missing"), std::string::npos)
      << result.out;
  EXPECT_NE(result.err.find("6 rows are missing, of prompts 4 to 6;"), std::string::npos)
      << result.err;
  EXPECT_EQ(cli().run({"status", path("out.h5")}).exit_code, 75);
  fs::copy(full("out.h5"), full("rest.h5"));
  const ProgramResult again = merge("out.h5", {"part-2.h5"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5")) << "rows that the output has stay";
  EXPECT_EQ(newest_runs(full("out.h5"), 99).size(), 5U) << "three runs, two merges";
  make("rest.h5");
  EXPECT_TRUE(bytes("rest.h5") == bytes("whole.h5")) << "generate makes what is missing";
}

TEST_F(Merge, PartsOfOtherJobsAreRefused) {
  make_parts(2);
  make("seed.h5", {"--part", "2/2", "--seed", "8"});
  make("model.h5", {"--part", "2/2", "--model", "shakespeare.h5"});
  cli().folder().write("parts/other.txt", "Ben\n");
  make("prompts.h5", {"--prompts", path("other.txt")});
  EXPECT_TRUE(fails_with(merge("out.h5", {"part-1.h5", "seed.h5"}), 65,
                         {"seed is 0 in parts/part-1.h5 and 8 in parts/seed.h5"}));
  EXPECT_TRUE(fails_with(merge("out.h5", {"part-1.h5", "model.h5"}), 65,
                         {"model is", "parts/part-1.h5", "parts/model.h5", "eod_token_ids"}));
  EXPECT_TRUE(fails_with(merge("out.h5", {"part-1.h5", "part-2.h5", "prompts.h5"}), 65,
                         {"prompts is", "parts/prompts.h5; also different: prompt_count"}));
  EXPECT_FALSE(fs::exists(full("out.h5"))) << "nothing is left of a merge that failed";
  EXPECT_TRUE(temporary_files().empty());
  const std::string before = bytes("seed.h5");
  EXPECT_TRUE(fails_with(merge("seed.h5", {"part-1.h5", "part-2.h5"}), 73,
                         {"seed.h5", "belongs to another job", "seed is 8"}));
  EXPECT_TRUE(bytes("seed.h5") == before);
}

TEST_F(Merge, NoInputIsWrittenOver) {
  make_parts(2);
  const std::string before = bytes("part-1.h5");
  fs::create_symlink("part-1.h5", full("link.h5"));
  for (const char* output : {"part-1.h5", "./part-1.h5", "link.h5", "part-2.h5.runs.jsonl"}) {
    EXPECT_TRUE(fails_with(merge(output, {"part-2.h5", "part-1.h5"}), 64, {"input"})) << output;
  }
  EXPECT_TRUE(bytes("part-1.h5") == before);
  cli().folder().write("parts/text.h5", "no result file\n");
  EXPECT_TRUE(fails_with(merge("text.h5", {"part-1.h5"}), 65, {"text.h5"}));
  EXPECT_TRUE(fails_with(cli().run({"merge", "stories.h5", path("part-1.h5")}), 73,
                         {"stories.h5", "checkpoint"}));
  EXPECT_TRUE(fails_with(merge("out.h5", {"gone.h5"}), 66, {"gone.h5"}));
  EXPECT_TRUE(fails_with(merge("out.h5", {"text.h5"}), 65, {"text.h5"}));
  EXPECT_TRUE(fails_with(merge("out.h5", {}), 64, {"part"}));
}

TEST_F(Merge, ARowThatIsDoneTwiceMustHaveTheSameBytes) {
  make("whole.h5");
  make("half-1.h5", {"--part", "1/2"});
  make("third-2.h5", {"--part", "2/3"});
  make("third-3.h5", {"--part", "3/3"}, 2);
  const ProgramResult result = merge("out.h5", {"half-1.h5", "third-2.h5", "third-3.h5"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("2 rows were in more than one"), std::string::npos) << result.out;
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
  forge("third-2.h5", 9, RowStatus::done);
  ASSERT_EQ(state("third-2.h5", 9), RowState::done);
  EXPECT_TRUE(fails_with(
      merge("new.h5", {"third-3.h5", "half-1.h5", "third-2.h5"}), 65,
      {"row 9 is done in parts/half-1.h5 and in parts/third-2.h5 with different bytes"}));
  EXPECT_FALSE(fs::exists(full("new.h5")));
  EXPECT_TRUE(fails_with(merge("out.h5", {"third-2.h5"}), 65, {"row 9", "parts/out.h5"}));
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5")) << "the output is as it was";
}

TEST_F(Merge, DamagedRowsAreLeftOut) {
  make("whole.h5");
  make_parts(2);
  copy("part-1.h5", "good.h5");
  {
    const ResultFile file = ResultFile::open(full("part-1.h5"));
    const auto writable = open_row_file(full("part-1.h5"), true);
    std::byte value{};
    writable->read(file.layout().tokens_at(5), std::span(&value, 1));
    value ^= std::byte{1};
    writable->write(file.layout().tokens_at(5), std::span(&value, 1));
  }
  const ProgramResult result = merge("out.h5", {"part-1.h5", "part-2.h5"});
  EXPECT_EQ(result.exit_code, 75);
  EXPECT_NE(result.err.find("1 damaged rows in parts/part-1.h5"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("1 rows are missing, of prompts 2;"), std::string::npos) << result.err;
  make("part-1.h5", {"--part", "1/2"});
  EXPECT_TRUE(bytes("part-1.h5") == bytes("good.h5")) << "its command makes them again";
  EXPECT_EQ(merge("out.h5", {"part-1.h5"}).exit_code, 0);
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
  fs::resize_file(full("part-2.h5"), fs::file_size(full("part-2.h5")) / 2);
  EXPECT_EQ(merge("new.h5", {"part-1.h5", "part-2.h5"}).exit_code, 65);
  EXPECT_FALSE(fs::exists(full("new.h5")));
}

TEST_F(Merge, AFileThatARunIsWritingIsRefused) {
  make_parts(2);
  {
    const RunLock run = RunLock::acquire(full("part-2.h5"));
    EXPECT_TRUE(fails_with(merge("out.h5", {"part-1.h5", "part-2.h5"}), 73,
                           {"a run is writing parts/part-2.h5"}));
  }
  {
    const RunLock run = RunLock::acquire(full("out.h5"));
    EXPECT_TRUE(fails_with(merge("out.h5", {"part-1.h5", "part-2.h5"}), 73, {"out.h5"}));
  }
  EXPECT_EQ(merge("out.h5", {"part-1.h5", "part-2.h5"}).exit_code, 0);
}

TEST_F(Merge, FailedRowsComeAlong) {
  std::string text;
  for (int i = 0; i < 6; ++i) text += i == 4 ? "no json\n" : "{\"prompt\": \"Ben\"}\n";
  cli().folder().write("parts/broken.jsonl", text);
  const Words broken = {"--prompts", path("broken.jsonl")};
  const auto part = [&](const char* name, const char* k) {
    return generate(name, {"--prompts", path("broken.jsonl"), "--part", k}).exit_code;
  };
  EXPECT_EQ(generate("whole.h5", broken).exit_code, 1);
  EXPECT_EQ(part("part-1.h5", "1/2"), 0) << "the failed row is the other part's";
  EXPECT_EQ(part("part-2.h5", "2/2"), 1);
  const ProgramResult result = merge("out.h5", {"part-1.h5", "part-2.h5"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("10 of 12 rows done, 2 failed, 0 missing"), std::string::npos)
      << result.out;
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
}

TEST_F(Merge, ADoneRowReplacesAFailedOneInAnyOrder) {
  make("whole.h5");
  make_parts(2);
  copy("part-1.h5", "failed.h5");
  forge("failed.h5", 3, RowStatus::failed);
  ASSERT_EQ(state("failed.h5", 3), RowState::failed);
  for (const Words& parts : {Words{"failed.h5", "part-1.h5", "part-2.h5"},
                             Words{"part-2.h5", "part-1.h5", "failed.h5"}}) {
    fs::remove(full("out.h5"));
    const ProgramResult result = merge("out.h5", parts);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("20 of 20 rows done, 0 failed"), std::string::npos) << result.out;
    EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
  }
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

TEST_F(Merge, AKilledPartGoesOnAndJoins) {
  const Words job = {"--samples-per-prompt", "8", "--max-length", "300", "--ignore-eos"};
  const auto with = [&](Words more) {
    more.insert(more.begin(), job.begin(), job.end());
    return more;
  };
  make("whole.h5", with({}), 2);
  make("part-1.h5", with({"--part", "1/2"}));
  Words slow = {GRIDMILL_PROGRAM,
                "generate",
                "--model",
                "stories.h5",
                "--prompts",
                path("prompts.txt"),
                "--output",
                path("part-2.h5"),
                "--temperature",
                "1",
                "--logprobs",
                "--part",
                "2/2",
                "--threads",
                "1",
                "--slots",
                "1",
                "--commit-interval",
                "50ms",
                "--progress",
                "none"};
  slow.insert(slow.end(), job.begin(), job.end());
  const pid_t run = test::start_program(slow, cli().folder().path(), "err.txt");
  for (int i = 0; i < 1200 && rows_done(full("part-2.h5")) < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  ::kill(run, SIGKILL);
  ASSERT_EQ(test::wait_for_program(run), 128 + SIGKILL) << slurp(cli().file("err.txt"));
  EXPECT_EQ(cli().run({"status", path("part-2.h5")}).exit_code, 75);
  const std::uint64_t done = rows_done(full("part-2.h5"));
  ASSERT_GE(done, 3U);
  const ProgramResult early = merge("out.h5", {"part-1.h5", "part-2.h5"});
  EXPECT_EQ(early.exit_code, 75);
  EXPECT_NE(early.out.find(std::to_string(40 + done) + " of 80 rows done"), std::string::npos)
      << early.out;
  make("part-2.h5", with({"--part", "2/2"}), 2);  // on another grid
  EXPECT_EQ(merge("out.h5", {"part-1.h5", "part-2.h5"}).exit_code, 0);
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
}

TEST_F(Merge, ScoresInPartsToo) {
  const auto score = [](const std::string& output, const Words& more) {
    Words words = {"score",     "--model",    "stories.h5", "--prompts",      path("prompts.txt"),
                   "--output",  path(output), "--logits",   "--top-logprobs", "2",
                   "--threads", "1",          "--progress", "none",           "--score-from",
                   "2"};
    words.insert(words.end(), more.begin(), more.end());
    return cli().run(words);
  };
  EXPECT_EQ(score("whole.h5", {}).exit_code, 0);
  EXPECT_EQ(score("part-1.h5", {"--part", "1/2"}).exit_code, 0);
  EXPECT_EQ(score("part-2.h5", {"--part", "2/2"}).exit_code, 0);
  const ProgramResult result = merge("out.h5", {"part-2.h5", "part-1.h5"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(bytes("out.h5") == bytes("whole.h5"));
  make("results.h5", {"--part", "1/2"});
  EXPECT_EQ(merge("new.h5", {"part-1.h5", "results.h5"}).exit_code, 65);
}

TEST_F(Merge, APartTakesTheRoomOfItsRowsOnly) {
  std::string text;
  for (int i = 0; i < 800; ++i) text += "Ben\n";
  cli().folder().write("parts/many.txt", text);
  const auto allocated = [](const std::string& name) {
    struct stat status {};
    EXPECT_EQ(::stat(full(name).c_str(), &status), 0);
    return static_cast<std::uint64_t>(status.st_blocks) * 512;
  };
  const Words job = {"--prompts", path("many.txt"), "--max-length",
                     "2048",      "--allow-long",   "--max-new-tokens",
                     "2"};
  const auto with_part = [&](const std::string& part) {
    Words words = job;
    words.insert(words.end(), {"--part", part});
    return words;
  };
  make("part-1.h5", with_part("1/8"));
  make("part-2.h5", with_part("2/8"));
  // 1,600 rows of two slots of 8 KiB, of which 200 hold tokens: a page of each, the text of
  // failures left out. Records are reserved for all rows.
  const std::uint64_t of_rows = 200 * 2 * 4096;
  const std::uint64_t of_file = 1600 * 32 + 65536;
  EXPECT_EQ(fs::file_size(full("part-1.h5")), fs::file_size(full("part-2.h5")));
  EXPECT_GT(fs::file_size(full("part-1.h5")), 1600U * 2 * 8192);
  EXPECT_LE(allocated("part-1.h5"), of_rows + of_file);
  EXPECT_EQ(merge("out.h5", {"part-1.h5", "part-2.h5"}).exit_code, 75);
  EXPECT_LE(allocated("out.h5"), 2 * of_rows + of_file);
}

TEST_F(Merge, UnsuitablePartsAreUsageErrors) {
  for (const char* part : {"0/3", "4/3", "3", "a/b", "1/0", "1/3/5"}) {
    EXPECT_TRUE(fails_with(generate("part.h5", {"--part", part}), 64, {"--part", part})) << part;
  }
  EXPECT_TRUE(fails_with(generate("part.h5", {"--part", "1/2", "--lockstep"}), 64,
                         {"--lockstep", "--part"}));
  EXPECT_FALSE(fs::exists(full("part.h5")));
}

}  // namespace
}  // namespace gridmill
