// `gridmill status --watch`, and the states that --metrics FILE.prom holds.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/result_store.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using test::slurp;

/// watched.h5 with four rows: one done, one failed, two missing.
class StatusWatch : public ::testing::Test {
 protected:
  StatusWatch() {
    ResultFile::create(path_, JobIdentity{Json{{"samples_per_prompt", 1}}},
                       {.rows = 4, .max_length = 8, .version = 2}, "0.1.0");
    ResultStore store = ResultStore::open(path_, ResultFile::open(path_).layout(), {});
    const std::vector<TokenId> tokens = {1, 2, 3};
    store.put(
        {.row = 0, .finish_reason = FinishReason::length, .prefix_length = 1, .tokens = tokens});
    store.put({.row = 2,
               .status = RowStatus::failed,
               .finish_reason = FinishReason::error,
               .failure = "no JSON"});
    store.close();
  }
  ~StatusWatch() override { cli().folder().write("watched.h5.runs.jsonl", ""); }
  std::string path_ = cli().file("watched.h5");
};

TEST_F(StatusWatch, EndsWithTheRun) {
  cli().folder().write("watched.h5.runs.jsonl",
                       "{\"start\":\"x\"}\n{\"start\":\"y\",\"exit_code\":75}\n");
  const ProgramResult result = cli().run({"status", "watched.h5", "--watch"});
  EXPECT_EQ(result.exit_code, 75) << result.err;
  EXPECT_EQ(result.out, "2/4 rows, 1 failed (row 2: no JSON), 1 restart\n");
}

TEST_F(StatusWatch, GoesOnWhileARunHasNoEnd) {
  cli().folder().write("watched.h5.runs.jsonl", "{\"start\":\"x\"}\n");
  const ProgramResult result =
      test::run_program({"timeout", "--preserve-status", "-s", "TERM", "5", GRIDMILL_PROGRAM,
                         "status", "watched.h5", "--watch", "--interval", "100ms"},
                        cli().folder().path());
  EXPECT_NE(result.exit_code, 0);
  EXPECT_GE(std::count(result.out.begin(), result.out.end(), '\n'), 2) << result.out;
}

TEST_F(StatusWatch, JsonHasNoWatch) {
  EXPECT_EQ(cli().run({"status", "watched.h5", "--watch", "--json"}).exit_code, 64);
  EXPECT_EQ(cli().run({"status", "watched.h5", "--watch", "--interval", "often"}).exit_code, 64);
}

TEST(PrometheusFile, HoldsTheLastStateOfTheRun) {
  cli().folder().write("metrics.prom", "of an earlier run\n");
  ASSERT_EQ(cli().generate({"--metrics", "metrics.prom", "--max-new-tokens", "4"}).exit_code, 0);
  const std::string text = slurp(cli().file("metrics.prom"));
  EXPECT_EQ(text.rfind("# TYPE gridmill_", 0), 0U) << text;
  EXPECT_NE(text.find("gridmill_rows_total{output=\"out.h5\"} "), std::string::npos) << text;
  EXPECT_NE(text.find("gridmill_load_s{output=\"out.h5\",over_ranks=\"max\"} "), std::string::npos)
      << text;
  EXPECT_EQ(cli().generate({"--metrics", "nowhere/metrics.prom"}).exit_code, 73);
}

}  // namespace
}  // namespace gridmill
