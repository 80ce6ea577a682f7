#include "gridmill/results/run_log.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::TemporaryFolder;

TEST(RunLog, OneRecordARun) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  EXPECT_EQ(last_run(output), std::nullopt);
  RunLog first(output);
  first.begin({{"start", "now"}, {"model", "a.h5"}});
  EXPECT_EQ(last_run(output)->at("model"), "a.h5");
  first.finish({{"start", "now"}, {"model", "a.h5"}, {"exit_code", 75}});
  RunLog second(output);
  second.begin({{"start", "later"}, {"model", "b.h5"}});
  EXPECT_EQ(read_text_file(run_log_path_of(output)),
            "{\"start\":\"now\",\"model\":\"a.h5\",\"exit_code\":75}\n"
            "{\"start\":\"later\",\"model\":\"b.h5\"}\n");
  second.finish({{"start", "later"}, {"exit_code", 0}});
  EXPECT_EQ(last_run(output)->at("exit_code"), 0);
}

TEST(RunLog, TheNewestRunsComeOldestFirst) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  EXPECT_TRUE(newest_runs(output, 3).empty());
  folder.write("out.h5.runs.jsonl", "{\"n\":1}\n\n{\"n\":2}\n{\"n\":3, \"host\n[4]\n{\"n\":5}");
  const std::vector<Json> runs = newest_runs(output, 2);
  ASSERT_EQ(runs.size(), 2U);
  EXPECT_EQ(runs[0].at("n"), 2);
  EXPECT_EQ(runs[1].at("n"), 5);
  EXPECT_EQ(newest_runs(output, 10).size(), 3U);
}

TEST(RunLog, AnotherProcessOfTheJobMayFinishTheRecord) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  folder.write("out.h5.runs.jsonl", "{\"n\":1}\n");
  RunLog log(output);
  log.begin({{"n", 2}});
  RunLog(output, log.begun_at()).finish({{"n", 2}, {"exit_code", 74}});
  EXPECT_EQ(read_text_file(run_log_path_of(output)), "{\"n\":1}\n{\"n\":2,\"exit_code\":74}\n");
}

TEST(RunLog, TheRecordOfALaterRunStays) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  RunLog old(output);
  old.begin({{"n", 1}});
  RunLog(output).begin({{"n", 2}});
  old.finish({{"n", 1}, {"exit_code", 75}});
  EXPECT_EQ(read_text_file(run_log_path_of(output)), "{\"n\":1,\"exit_code\":75}\n{\"n\":2}\n");
}

TEST(RunLog, ALineThatAKillCutShortIsPassedOver) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  folder.write("out.h5.runs.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3, \"host");
  EXPECT_EQ(last_run(output)->at("n"), 2);
  RunLog log(output);
  log.begin({{"n", 4}});
  EXPECT_EQ(last_run(output)->at("n"), 4);
  log.finish({{"n", 5}});
  EXPECT_EQ(read_text_file(run_log_path_of(output)),
            "{\"n\":1}\n{\"n\":2}\n{\"n\":3, \"host\n{\"n\":5}\n");
}

TEST(RunLog, AFileWithoutAnyRecordHasNoLastRun) {
  const TemporaryFolder folder;
  folder.write("out.h5.runs.jsonl", "\n\nno\n" + std::string(1'000'000, '\n'));
  EXPECT_EQ(last_run(folder.file("out.h5")), std::nullopt);
}

TEST(RunLog, LogsAreJoinedInTheOrderOfStartsEachRecordOnce) {
  const TemporaryFolder folder;
  folder.write("a.h5.runs.jsonl",
               "{\"start\":\"2026-01-01\",\"b\":1,\"a\":2}\n{\"start\":\"2026-01-03\"}\n{\"cut");
  folder.write("b.h5.runs.jsonl",
               "{\"start\":\"2026-01-03\"}\n[1]\n{\"n\":4}\n{\"start\":\"2026-01-02\"}\n");
  const std::string output = folder.file("out.h5");
  folder.write("out.h5.runs.jsonl", "replaced\n");
  join_run_logs(output, {folder.file("a.h5"), folder.file("b.h5"), folder.file("none.h5")},
                {{"start", "2025"}, {"merged", true}});
  EXPECT_EQ(read_text_file(run_log_path_of(output)),
            "{\"n\":4}\n{\"start\":\"2026-01-01\",\"b\":1,\"a\":2}\n{\"start\":\"2026-01-02\"}\n"
            "{\"start\":\"2026-01-03\"}\n{\"start\":\"2025\",\"merged\":true}\n");
  EXPECT_EQ(last_run(output)->at("merged"), true);
}

TEST(RunLog, BytesThatAreNoTextDoNotStopIt) {
  const TemporaryFolder folder;
  RunLog log(folder.file("out.h5"));
  EXPECT_NO_THROW(log.begin({{"command", "\xFF"}}));
  EXPECT_EQ(last_run(folder.file("out.h5"))->at("command"), "\uFFFD");
}

TEST(RunLog, FinishingWithoutBeginningIsOurOwnMistake) {
  const TemporaryFolder folder;
  RunLog log(folder.file("out.h5"));
  EXPECT_THROW(log.finish({{"n", 1}}), InternalError);
}

}  // namespace
}  // namespace gridmill
