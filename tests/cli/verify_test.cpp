// `gridmill verify`: generates rows again and finds whatever differs.

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using Words = std::vector<std::string>;

constexpr RowId kRow = 5;

/// A result file with logprobs, made by one rank: 4 prompts, 3 samples each, the third prompt bad.
class Verify : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    cli().folder().write("verified.jsonl", R"({"prompt": "Once upon"}
{"prompt": "The king"}
no json
{"prompt": ""}
)");
    const ProgramResult made = cli().generate(
        {"--model", GetParam(), "--prompts", "verified.jsonl", "--temperature", "0.8", "--seed",
         "3", "--samples-per-prompt", "3", "--logprobs", "--allow-failed-rows"});
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  [[nodiscard]] ProgramResult verify(const Words& extra = {}, int ranks = 1) const {
    Words words = {"verify",         "out.h5",    "--model", GetParam(),    "--prompts",
                   "verified.jsonl", "--threads", "1",       "--log-level", "warn"};
    words.insert(words.end(), extra.begin(), extra.end());
    return cli().run(words, ranks);
  }
  /// Runs verify and expects that it finds exactly row kRow, with `what`.
  void expect_found(const std::string& what) const {
    const ProgramResult result = verify();
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_EQ(result.out.rfind("row 5: ", 0), 0U) << result.out;
    EXPECT_NE(result.out.find(what), std::string::npos) << result.out;
    EXPECT_EQ(result.out.find("\nrow "), std::string::npos) << "no other row: " << result.out;
  }
  /// Changes row kRow behind gridmill's back; `sealed` makes both crcs match what stands there.
  static void tamper(const std::function<void(StoredRow&)>& change, bool is_sealed) {
    const ResultLayout layout = cli().result().layout();
    const auto file = open_row_file(cli().file("out.h5"), true);
    StoredRow row = read_row(*file, layout, kRow);
    change(row);
    if (is_sealed) {
      row.record.payload_crc = payload_crc({.tokens = row.tokens,
                                            .logprobs = row.logprobs,
                                            .failure = row.failure,
                                            .valid = row.valid});
      row.record = sealed(row.record);
    }
    file->write(layout.tokens_at(kRow), std::as_bytes(std::span(row.tokens)));
    file->write(layout.logprobs_at(kRow), std::as_bytes(std::span(row.logprobs)));
    file->write(layout.record_at(kRow), std::as_bytes(std::span(&row.record, 1)));
  }
};

TEST_P(Verify, FindsNoDifferenceOnAnotherGridOrWithTheReferenceBackend) {
  const std::string summary = "out.h5: 12 rows generated again, 0 differ or are damaged\n";
  for (const auto& [options, ranks] : std::vector<std::pair<Words, int>>{
           {{"--all"}, 1},
           {{"--backend", "reference", "--slots", "1"}, 1},
           {{"--all", "--tp", "4", "--backend", "reference"}, 4},
           {{"--dp", "2", "--fsdp", "2", "--fsdp-min-weight-size", "0", "--slots", "2"}, 4},
           {{"--fsdp", "2", "--tp", "2", "--gather-params-once"}, 4}}) {
    const ProgramResult result = verify(options, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, summary);
  }
}

TEST_P(Verify, FindsAFlippedToken) {
  tamper([](StoredRow& row) { row.tokens.back() ^= 1; }, false);
  expect_found("damaged");
}

TEST_P(Verify, FindsAFlippedTokenAlsoUnderItsOwnChecksum) {
  tamper([](StoredRow& row) { row.tokens.back() ^= 1; }, true);
  expect_found("token 23 is ");
}

TEST_P(Verify, FindsAFlippedLogprob) {
  tamper([](StoredRow& row) { row.logprobs[7] = std::nextafter(row.logprobs[7], 0.0F); }, false);
  expect_found("damaged");
}

TEST_P(Verify, FindsAFlippedLogprobAlsoUnderItsOwnChecksum) {
  tamper([](StoredRow& row) { row.logprobs[7] = std::nextafter(row.logprobs[7], 0.0F); }, true);
  expect_found("log-probability 7 is ");
}

TEST_P(Verify, FindsAFlippedRecordByte) {
  tamper([](StoredRow& row) { row.record.prefix_length ^= 1U; }, false);
  expect_found("damaged");
}

TEST_P(Verify, FindsAFlippedRecordByteAlsoUnderItsOwnChecksum) {
  tamper([](StoredRow& row) { row.record.prefix_length -= 1; }, true);
  expect_found("prefix_length is ");
}

TEST_P(Verify, LooksAtTheRowsItIsAskedFor) {
  tamper([](StoredRow& row) { row.tokens.back() ^= 1; }, true);
  const ProgramResult others = verify({"--rows", "4,6,0"});
  EXPECT_EQ(others.exit_code, 0) << others.err;
  EXPECT_EQ(others.out, "out.h5: 3 rows generated again, 0 differ or are damaged\n");
  EXPECT_EQ(verify({"--rows", "4,5"}).exit_code, 1);
  EXPECT_NE(verify({"--sample", "25%"}).out.find("out.h5: 3 rows generated again"),
            std::string::npos);
  EXPECT_EQ(verify({"--sample", "100%"}).exit_code, 1);
}

TEST_P(Verify, RefusesOtherModelsPromptsAndNumerics) {
  const std::string other = GetParam() == "stories.h5" ? "shakespeare.h5" : "stories.h5";
  cli().folder().write("other.jsonl", R"({"prompt": "Once"})");
  for (const Words& wrong :
       {Words{"--model", other, "--prompts", "verified.jsonl"},
        Words{"--model", GetParam(), "--prompts", "other.jsonl"},
        Words{"--model", GetParam(), "--prompts", "verified.jsonl", "--compute-dtype", "bf16"}}) {
    Words words = {"verify", "out.h5"};
    words.insert(words.end(), wrong.begin(), wrong.end());
    const ProgramResult result = cli().run(words);
    EXPECT_EQ(result.exit_code, 65) << result.err;
    EXPECT_NE(result.err.find("out.h5"), std::string::npos) << result.err;
  }
}

TEST_P(Verify, CountsWhatIsNotGeneratedYet) {
  const ResultLayout layout = cli().result().layout();
  {
    const auto file = open_row_file(cli().file("out.h5"), true);
    const RowRecord empty{};
    file->write(layout.record_at(kRow), std::as_bytes(std::span(&empty, 1)));
  }
  const ProgramResult all = verify();
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_EQ(all.out,
            "out.h5: 11 rows generated again, 0 differ or are damaged; 1 rows are not generated "
            "yet\n");
  const ProgramResult named = verify({"--rows", "5"});
  EXPECT_EQ(named.exit_code, 1);
  EXPECT_EQ(named.out.rfind("row 5: not generated yet\n", 0), 0U) << named.out;
}

INSTANTIATE_TEST_SUITE_P(Models, Verify, testing::Values("stories.h5", "shakespeare.h5"),
                         [](const auto& each) {
                           return each.param.substr(0, each.param.find('.'));
                         });

TEST(VerifyArguments, AreChecked) {
  const Words files = {"verify", "none.h5", "--model", "stories.h5", "--prompts", "prompts.txt"};
  for (const Words& wrong :
       {Words{"--rows", "x"}, Words{"--rows", "-1"}, Words{"--sample", "5"},
        Words{"--sample", "101%"}, Words{"--sample", "0%"}, Words{"--rows", "1", "--all"}}) {
    Words words = files;
    words.insert(words.end(), wrong.begin(), wrong.end());
    EXPECT_EQ(cli().run(words).exit_code, 64) << wrong[0] << " " << wrong[1];
  }
  EXPECT_EQ(cli().run(files).exit_code, 66) << "no such file";
}

TEST(VerifyLockstep, RowsDrawAsAtTheirPlaceInTheMeshThatMadeThem) {
  h5::File prompts = h5::File::create(cli().file("mesh.h5"));
  std::vector<std::int32_t> tokens;
  tokens.reserve(32);
  for (std::int32_t i = 0; i < 32; ++i) tokens.push_back(300 + 5 * i);
  prompts.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {16, 2})
      .write_rows(0, 16, std::as_bytes(std::span(tokens)));
  prompts.close();
  for (const Words& rng :
       {Words{"--rng", "jax"}, Words{"--rng", "jax", "--jax-threefry", "partitionable"},
        Words{"--rng", "philox"}}) {
    Words make = {"--lockstep", "--prompts", "mesh.h5", "--batch-size", "8", "--temperature",
                  "1",          "--dp",      "2",       "--fsdp",       "2", "--eod-token-id=425"};
    make.insert(make.end(), rng.begin(), rng.end());
    ASSERT_EQ(cli().generate(make, 4).exit_code, 0);
    for (const auto& [grid, ranks] :
         std::vector<std::pair<Words, int>>{{{}, 1},
                                            {{"--fsdp", "2", "--fsdp-min-weight-size", "0"}, 2},
                                            {{"--fsdp", "2", "--gather-params-once"}, 2},
                                            {{"--tp", "2", "--backend", "reference"}, 2}}) {
      Words words = {"verify",  "out.h5",    "--model", "stories.h5",  "--prompts",
                     "mesh.h5", "--threads", "1",       "--log-level", "warn"};
      words.insert(words.end(), grid.begin(), grid.end());
      const ProgramResult result = cli().run(words, ranks);
      EXPECT_EQ(result.exit_code, 0) << result.err;
      EXPECT_EQ(result.out, "out.h5: 16 rows generated again, 0 differ or are damaged\n");
    }
  }
}

}  // namespace
}  // namespace gridmill
