// `gridmill report` from the outside; tests/report looks at its pages in a browser.

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using test::slurp;

/// The sample in a page.
Json sample_of(const std::string& page) {
  const std::string begin = "id=\"sample-data\">";
  const std::size_t from = page.find(begin) + begin.size();
  return Json::parse(page.substr(from, page.find("</script>", from) - from));
}

class ReportCommand : public ::testing::Test {
 protected:
  static void generate(const std::string& prompts, const std::vector<std::string>& more = {}) {
    cli().folder().write("prompts.jsonl", prompts);
    std::vector<std::string> words = {"--prompts", "prompts.jsonl", "--max-new-tokens", "12",
                                      "--allow-failed-rows"};
    words.insert(words.end(), more.begin(), more.end());
    ASSERT_EQ(cli().generate(words).exit_code, 0);
  }
  [[nodiscard]] static std::string report(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"report", "out.h5", "-o", "out.html"};
    words.insert(words.end(), more.begin(), more.end());
    const ProgramResult result = cli().run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.out, "");
    return slurp(cli().file("out.html"));
  }
};

TEST_F(ReportCommand, ShowsTheTextsThatExportWrites) {
  generate("{\"prompt\": \"Once\"}\n{\"prompt\": \"</script><b>\"}\nno JSON\n", {"--logprobs"});
  const std::string page = report();
  const Json sample = sample_of(page);
  ASSERT_EQ(sample.at("rows").size(), 3U);
  const ProgramResult exported = cli().run({"export", "out.h5"});
  const Json first = Json::parse(exported.out.substr(0, exported.out.find('\n')));
  EXPECT_EQ(sample.at("rows")[0].at("text"), first.at("text"));
  EXPECT_EQ(sample.at("rows")[0].at("tokens"), 12);
  EXPECT_EQ(sample.at("rows")[0].at("logprobs").get<std::string>().size(), 12U);
  EXPECT_EQ(sample.at("rows")[2].at("reason"), "failed");
  EXPECT_EQ(sample.at("prompts")[1].at("text"), "</script><b>");
  EXPECT_EQ(page.find("</script><b>"), std::string::npos);
  EXPECT_NE(page.find("complete, with failed rows"), std::string::npos);
}

TEST_F(ReportCommand, RowsLimitsTheSample) {
  generate("{\"prompt\": \"One\"}\n{\"prompt\": \"Two\"}\n{\"prompt\": \"Three\"}\n");
  EXPECT_EQ(sample_of(report({"--rows", "2"})).at("rows").size(), 2U);
}

TEST_F(ReportCommand, FindsTheMetricsOfTheLastRun) {
  generate("{\"prompt\": \"One\"}\n", {"--metrics", "metrics.jsonl"});
  EXPECT_NE(report().find("Where the time went"), std::string::npos);
  std::filesystem::rename(cli().file("metrics.jsonl"), cli().file("moved.jsonl"));
  EXPECT_EQ(report().find("Where the time went"), std::string::npos);
  EXPECT_NE(report({"--metrics", "moved.jsonl"}).find("Where the time went"), std::string::npos);
}

TEST_F(ReportCommand, AnotherModelOrOtherPromptsAreRefused) {
  generate("{\"prompt\": \"One\"}\n");
  cli().folder().write("other.jsonl", "{\"prompt\": \"Two\"}\n");
  EXPECT_EQ(cli().run({"report", "out.h5", "-o", "x.html", "--prompts", "other.jsonl"}).exit_code,
            65);
  EXPECT_EQ(cli().run({"report", "out.h5", "-o", "x.html", "--model", "shakespeare.h5"}).exit_code,
            65);
  EXPECT_FALSE(std::filesystem::exists(cli().file("x.html")));
}

TEST_F(ReportCommand, AnInputIsNeverOverwritten) {
  generate("{\"prompt\": \"One\"}\n", {"--metrics", "metrics.jsonl"});
  for (const char* input : {"out.h5", "prompts.jsonl", "stories.h5", "metrics.jsonl"}) {
    EXPECT_EQ(cli().run({"report", "out.h5", "-o", input}).exit_code, 64) << input;
  }
  EXPECT_EQ(cli().run({"report", "out.h5"}).exit_code, 64) << "-o is required";
}

TEST_F(ReportCommand, APageMayGoToStdout) {
  generate("{\"prompt\": \"One\"}\n");
  const ProgramResult result = cli().run({"report", "out.h5", "-o", "/dev/stdout"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.rfind("<!DOCTYPE html>", 0), 0U);
}

}  // namespace
}  // namespace gridmill
