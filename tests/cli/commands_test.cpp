// What every command does, end to end, and what signals leave behind.

#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <span>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using test::slurp;
using Words = std::vector<std::string>;

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

/// Stdout of a command that has to succeed.
std::string output_of(const Words& arguments, int code = 0) {
  const ProgramResult result = cli().run(arguments);
  EXPECT_EQ(result.exit_code, code) << result.err;
  return result.out;
}

/// `gridmill ARGUMENTS < INPUT`.
std::string filtered(const std::string& arguments, const std::string& input) {
  cli().folder().write("stdin.txt", input);
  const ProgramResult result =
      test::run_program({"sh", "-c", "exec \"$0\" " + arguments + " < stdin.txt", GRIDMILL_PROGRAM},
                        cli().folder().path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

TEST(Stories, GreedyTextIsTheKnownOne) {
  cli().folder().write("empty.txt", "\n");
  ASSERT_EQ(
      cli()
          .generate({"--prompts", "empty.txt", "--max-length", "512", "--max-new-tokens", "200"})
          .exit_code,
      0);
  const Json row = json_lines(output_of({"export", "out.h5"})).at(0);
  EXPECT_EQ(row.at("text"),
            slurp(std::string(GRIDMILL_MODELS_DIR) + "/stories260K/expected_greedy_200.txt"));
  EXPECT_EQ(row.at("tokens").size(), 201U);
  EXPECT_EQ(row.at("finish_reason"), "length");
}

/// out.h5 of three prompts, the second of them broken, two samples each.
void generate_mixed() {
  cli().folder().write("mixed.jsonl",
                       "{\"id\": 7, \"prompt\": \"Ben\"}\nno json\n"
                       "{\"prompt\": \"The cat\", \"x\": [1.50]}\n");
  ASSERT_EQ(cli().generate({"--prompts", "mixed.jsonl", "--samples-per-prompt", "2"}).exit_code, 1);
}

TEST(Export, JsonlHasAnObjectForEveryRow) {
  generate_mixed();
  const std::string text = output_of({"export", "out.h5", "--format", "jsonl"});
  const std::vector<Json> rows = json_lines(text);
  ASSERT_EQ(rows.size(), 6U);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].at("index"), i);
    EXPECT_EQ(rows[i].at("prompt_index"), i / 2);
    EXPECT_EQ(rows[i].at("sample_index"), i % 2);
  }
  EXPECT_EQ(rows[0].at("prompt"), "Ben");
  EXPECT_EQ(rows[0].at("record"), Json({{"id", 7}, {"prompt", "Ben"}}));
  EXPECT_EQ(rows[0].at("tokens").get<std::vector<TokenId>>(), cli().tokens(0));
  EXPECT_NE(rows[0].at("text"), "");
  EXPECT_NE(text.find("[1.50]"), std::string::npos) << "the record stands as it was written";
  EXPECT_EQ(rows[2].at("finish_reason"), "error");
  EXPECT_NE(rows[2].at("failure").get<std::string>().find("line 2"), std::string::npos);
}

TEST(Export, OnlyTakesTheRowsOfOneState) {
  generate_mixed();
  const auto indices = [](const std::string& state) {
    std::vector<int> found;
    for (const Json& row : json_lines(output_of({"export", "out.h5", "--only", state}))) {
      found.push_back(row.at("index").get<int>());
    }
    return found;
  };
  EXPECT_EQ(indices("done"), (std::vector<int>{0, 1, 4, 5}));
  EXPECT_EQ(indices("failed"), (std::vector<int>{2, 3}));
  EXPECT_EQ(cli().run({"export", "out.h5", "--only", "some"}).exit_code, 64);
}

TEST(Export, LeavesAWholeFileOrTheOldOne) {
  generate_mixed();
  EXPECT_EQ(output_of({"export", "out.h5", "-o", "rows.jsonl"}), "");
  const std::string whole = slurp(cli().file("rows.jsonl"));
  EXPECT_EQ(whole, output_of({"export", "out.h5"}));
  EXPECT_EQ(
      cli().run({"export", "out.h5", "-o", "rows.jsonl", "--prompts", "prompts.txt"}).exit_code,
      65);
  EXPECT_EQ(slurp(cli().file("rows.jsonl")), whole);
  for (const auto& entry : std::filesystem::directory_iterator(cli().folder().path())) {
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
  }
}

TEST(Inspect, DescribesACheckpoint) {
  const Json found = Json::parse(output_of({"inspect", "stories.h5", "--json"}));
  EXPECT_EQ(found.at("format"), "gridmill-checkpoint");
  EXPECT_EQ(found.at("parameters"), 260032);
  EXPECT_EQ(found.at("model").at("vocab_size"), 512);
  EXPECT_NE(output_of({"inspect", "stories.h5"}).find("gridmill-checkpoint"), std::string::npos);
  const Json& state = found.at("row_state_bytes");
  EXPECT_EQ(state.at("fp32").at("10000"), 10 * state.at("fp32").at("1000").get<std::int64_t>());
  EXPECT_EQ(state.at("fp32").at("1000"), 2 * state.at("bf16").at("1000").get<std::int64_t>());
}

TEST(Inspect, DescribesAResultFile) {
  generate_mixed();
  const Json found = Json::parse(output_of({"inspect", "out.h5", "--json"}));
  EXPECT_EQ(found.at("format"), "gridmill-results");
  EXPECT_EQ(found.at("rows"), 6);
  EXPECT_EQ(found.at("max_length"), 24);
  EXPECT_EQ(found.at("job").at("prompt_count"), 3);
}

TEST(Status, CountsRowsAndTokens) {
  generate_mixed();
  const Json found = Json::parse(output_of({"status", "out.h5", "--json"}));
  EXPECT_EQ(found.at("rows"), 6);
  EXPECT_EQ(found.at("done"), 4);
  EXPECT_EQ(found.at("failed"), 2);
  EXPECT_EQ(found.at("left"), 0);
  std::size_t tokens = 0;
  for (const RowId row : {0, 1, 4, 5}) tokens += cli().tokens(row).size();
  EXPECT_EQ(
      found.at("prompt_tokens").get<std::size_t>() + found.at("new_tokens").get<std::size_t>(),
      tokens);
}

/// Writes the rows of out.h5 as prompts `rows.h5`. @return them
std::vector<StoredRow> rows_as_prompts() {
  const ResultFile result = cli().result();
  const std::uint64_t rows = result.layout().shape.rows;
  const std::uint64_t width = result.layout().shape.max_length;
  std::vector<StoredRow> stored;
  std::vector<TokenId> ids(rows * width);
  std::vector<std::uint8_t> mask(rows * width);
  for (RowId row = 0; row < rows; ++row) {
    stored.push_back(result.read_row(row));
    const auto at = static_cast<std::ptrdiff_t>(row * width);
    std::copy(stored[row].tokens.begin(), stored[row].tokens.end(), ids.begin() + at);
    std::fill_n(mask.begin() + at, stored[row].tokens.size(), std::uint8_t{1});
  }
  h5::File file = h5::File::create(cli().file("rows.h5"));
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {rows, width})
      .write_rows(0, rows, std::as_bytes(std::span(ids)));
  file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), {rows, width})
      .write_rows(0, rows, std::as_bytes(std::span(mask)));
  file.close();
  return stored;
}

TEST(Score, AgreesWithGenerateBitForBit) {
  ASSERT_EQ(cli().generate({"--logprobs", "--temperature", "1"}).exit_code, 0);
  const std::vector<StoredRow> rows = rows_as_prompts();
  for (const int ranks : {1, 2}) {
    const ProgramResult result =
        cli().run({"score", "--model", "stories.h5", "--prompts", "rows.h5", "--output",
                   "scores.h5", "--threads", "1", "--logits"},
                  ranks);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    for (const char* name : {"scores.h5.lock", "scores.h5.runs.jsonl"}) {
      std::filesystem::remove(cli().file(name));
    }
    std::filesystem::rename(cli().file("scores.h5"), cli().file("scored.h5"));
    const h5::File file = h5::File::open(cli().file("scored.h5"));
    const h5::Dataset logprobs = file.dataset("/token_logprobs");
    ASSERT_EQ(logprobs.shape().size(), 2U);
    const std::uint64_t width = logprobs.shape()[1];
    EXPECT_EQ(file.dataset("/logits").shape(),
              (std::vector<std::uint64_t>{rows.size(), width, 512}));
    const auto lengths = file.dataset("/length").read_as<std::int32_t>();
    const auto sums = file.dataset("/sum_logprob").read_as<double>();
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const auto scored = logprobs.read_rows_as<float>(row, 1);
      ASSERT_EQ(lengths[row], rows[row].tokens.size());
      EXPECT_EQ(std::memcmp(scored.data(), rows[row].logprobs.data(),
                            rows[row].logprobs.size() * sizeof(float)),
                0)
          << "row " << row << " on " << ranks << " ranks";
      double sum = 0;
      for (const float value : rows[row].logprobs) sum += value;
      EXPECT_NEAR(sums[row], sum, 1e-4);
    }
  }
}

TEST(Tokenize, TextComesBack) {
  const std::string text = "Once upon a time\nThe cat sat.\n";
  const std::string ids = filtered("tokenize --model stories.h5", text);
  EXPECT_EQ(Json::parse(ids.substr(0, ids.find('\n'))).at(0), 1) << "the begin token";
  EXPECT_EQ(filtered("detokenize --model stories.h5 --skip-special", ids), text);
  const std::string plain = filtered("tokenize --model stories.h5 --no-special", text);
  EXPECT_NE(Json::parse(plain.substr(0, plain.find('\n'))).at(0), 1);
}

TEST(Tokenize, JsonlKeepsLineBreaks) {
  const std::string text = "KING:\nwhat, \"now\"?";
  const std::string ids =
      filtered("tokenize --jsonl --model shakespeare.h5", Json{{"text", text}}.dump() + "\n");
  const Json back =
      json_lines(filtered("detokenize --jsonl --skip-special --model shakespeare.h5", ids)).at(0);
  EXPECT_EQ(back.at("text"), text);
  EXPECT_EQ(back.at("bytes_hex").get<std::string>().substr(0, 8), "4b494e47");
}

// ---- signals

/// A job of many seconds with few slots, of few with many.
Words long_job(const std::string& slots) {
  return {"generate",
          "--model",
          "stories.h5",
          "--prompts",
          "prompts.txt",
          "--output",
          "out.h5",
          "--threads",
          "1",
          "--max-length",
          "500",
          "--samples-per-prompt",
          "40",
          "--temperature",
          "1",
          "--eod-token-id=-1",
          "--slots",
          slots,
          "--progress",
          "none",
          "--log-level",
          "warn",
          "--commit-interval",
          "200ms"};
}

class Interrupted : public testing::Test {
 protected:
  static const std::string& uninterrupted() {
    static const std::string bytes = [] {
      cli().remove_output();
      EXPECT_EQ(cli().run(long_job("16")).exit_code, 0);
      return slurp(cli().file("out.h5"));
    }();
    return bytes;
  }
  /// Starts the job afresh and waits until some row is done.
  static pid_t start(int ranks) {
    cli().remove_output();
    Words command = {GRIDMILL_PROGRAM};
    const Words job = long_job("2");
    command.insert(command.end(), job.begin(), job.end());
    const pid_t program =
        test::start_program(test::under_mpirun(ranks, command), cli().folder().path(), "job.err");
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < patience) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      if (std::filesystem::exists(cli().file("out.h5")) && status().at("done") > 0) break;
    }
    return program;
  }
  static Json status() { return Json::parse(cli().run({"status", "out.h5", "--json"}).out); }
  static void expect_some_rows_left() {
    const Json left = status();
    EXPECT_GT(left.at("done"), 0);
    EXPECT_GT(left.at("left"), 0);
    EXPECT_EQ(left.at("damaged"), 0);
  }
  static void expect_finished_as_if_uninterrupted(int ranks) {
    const ProgramResult rest = cli().run(long_job("16"), ranks);
    EXPECT_EQ(rest.exit_code, 0) << rest.err;
    EXPECT_TRUE(slurp(cli().file("out.h5")) == uninterrupted()) << "other bytes";
  }
};

TEST_F(Interrupted, BySigtermItLeavesWithin10SecondsAndContinuesOnAnotherGrid) {
  static_cast<void>(uninterrupted());
  const pid_t job = start(1);
  const auto asked = std::chrono::steady_clock::now();
  ::kill(job, SIGTERM);
  EXPECT_EQ(test::wait_for_program(job), 75) << slurp(cli().file("job.err"));
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(10));
  expect_some_rows_left();
  EXPECT_GT(status().at("partial"), 0) << "rows in flight are kept";
  expect_finished_as_if_uninterrupted(2);
}

TEST_F(Interrupted, BySigusr1ToMpirunAllRanksLeaveAndOneContinues) {
  static_cast<void>(uninterrupted());
  const pid_t job = start(2);
  const auto asked = std::chrono::steady_clock::now();
  ::kill(job, SIGUSR1);
  EXPECT_EQ(test::wait_for_program(job), 75) << slurp(cli().file("job.err"));
  EXPECT_LT(std::chrono::steady_clock::now() - asked, std::chrono::seconds(10));
  expect_some_rows_left();
  expect_finished_as_if_uninterrupted(1);
}

TEST_F(Interrupted, BySigkillItContinuesOnAnotherGrid) {
  static_cast<void>(uninterrupted());
  const pid_t job = start(1);
  ::kill(job, SIGKILL);
  EXPECT_EQ(test::wait_for_program(job), 128 + SIGKILL);
  expect_some_rows_left();
  expect_finished_as_if_uninterrupted(2);
}

}  // namespace
}  // namespace gridmill
