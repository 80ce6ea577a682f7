#include "report/statistics.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/results/result_store.hpp"
#include "support/temporary_folder.hpp"
#include "unit/results/sample.hpp"

namespace gridmill::report_detail {
namespace {

TEST(ReportDistribution, QuantilesAndMeanAreExactForWholeNumbers) {
  Distribution lengths(1, 101);
  for (int value = 1; value <= 100; ++value) lengths.add(value);
  EXPECT_EQ(lengths.total(), 100U);
  EXPECT_EQ(lengths.mean(), 50.5);
  EXPECT_EQ(lengths.quantile(.5), 50);
  EXPECT_EQ(lengths.quantile(1), 100);
  EXPECT_EQ(Distribution(1, 4).quantile(.5), 0);
}

TEST(ReportDistribution, BinsAreRoundAndHoldEveryValue) {
  Distribution lengths(1, 2049);
  for (int value = 120; value <= 1000; ++value) lengths.add(value);
  const std::vector<Distribution::Bin> bins = lengths.bins(40);
  EXPECT_LE(bins.size(), 41U);
  EXPECT_EQ(bins.front().to - bins.front().from, 50);
  std::uint64_t sum = 0;
  for (const Distribution::Bin& bin : bins) sum += bin.count;
  EXPECT_EQ(sum, lengths.total());
}

TEST(ReportDistribution, TheTailSharesTheLastBin) {
  Distribution values(1, 1001);
  for (int i = 0; i < 999; ++i) values.add(3);
  values.add(5000);
  const std::vector<Distribution::Bin> bins = values.bins(10, .99);
  ASSERT_EQ(bins.size(), 1U);
  EXPECT_EQ(bins[0].count, 1000U);
}

class ReportStatistics : public ::testing::Test {
 protected:
  static constexpr ResultShape kShape{
      .rows = 700, .samples_per_prompt = 2, .max_length = 40, .logprobs = 1};
  ReportStatistics() {
    test::create_sample(path_, kShape);
    const ResultLayout layout = ResultFile::open(path_).layout();
    ResultStore store = ResultStore::open(path_, layout, {});
    for (RowId row = 0; row < kShape.rows - 100; ++row) {
      store.put(test::SampleRow(kShape, row).result());
    }
    store.close();
  }
  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("out.h5");
};

TEST_F(ReportStatistics, CountWhatTheFileHolds) {
  const Statistics statistics = collect_statistics(ResultFile::open(path_), 50);
  std::uint64_t failed = 0;
  std::uint64_t new_tokens = 0;
  std::uint64_t logprobs = 0;
  for (RowId row = 0; row < 600; ++row) {
    const test::SampleRow sample(kShape, row);
    if (sample.status == RowStatus::failed) {
      ++failed;
      continue;
    }
    new_tokens += sample.tokens.size() - 1;
    logprobs += sample.tokens.size() - 1;
  }
  EXPECT_EQ(statistics.rows, 700U);
  EXPECT_EQ(statistics.failed, failed);
  EXPECT_EQ(statistics.done, 600 - failed);
  EXPECT_EQ(statistics.new_tokens, new_tokens);
  EXPECT_EQ(statistics.prompt_tokens, 600 - failed);
  EXPECT_EQ(statistics.negative_logprobs.total(), logprobs);
  EXPECT_EQ(statistics.new_lengths.total(), 600 - failed);
}

TEST_F(ReportStatistics, FailuresThatDifferInNumbersAreOne) {
  const Statistics statistics = collect_statistics(ResultFile::open(path_), 50);
  ASSERT_EQ(statistics.failures.size(), 1U);
  EXPECT_EQ(statistics.failures[0].reason, "line N is no JSON");
  EXPECT_EQ(statistics.failures[0].count, statistics.failed);
  ASSERT_EQ(statistics.failures[0].examples.size(), 3U);
  EXPECT_EQ(statistics.failures[0].examples[0].row, 3U);
  EXPECT_EQ(statistics.failures[0].examples[0].text, "line 3 is no JSON");
}

TEST_F(ReportStatistics, EachWayToEndHasAnEqualShareOfTheSample) {
  const Statistics statistics = collect_statistics(ResultFile::open(path_), 50);
  ASSERT_EQ(statistics.sample.size(), 50U);
  EXPECT_TRUE(std::is_sorted(statistics.sample.begin(), statistics.sample.end()));
  const auto failed = std::count_if(
      statistics.sample.begin(), statistics.sample.end(),
      [](RowId row) { return test::SampleRow(kShape, row).status == RowStatus::failed; });
  EXPECT_EQ(failed, 25);
  EXPECT_EQ(collect_statistics(ResultFile::open(path_), 50).sample, statistics.sample);
}

TEST_F(ReportStatistics, ASampleMayHoldEveryFinishedRow) {
  EXPECT_EQ(collect_statistics(ResultFile::open(path_), 5000).sample.size(), 600U);
}

}  // namespace
}  // namespace gridmill::report_detail
