// The programs of docs/examples do what they say.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;

constexpr TokenId kFullStop = 426;
constexpr std::size_t kLength = 40;

/// Rows that each of `ranks` ranks prints.
std::vector<std::vector<TokenId>> rows_of_example(int ranks) {
  const ProgramResult result =
      test::run_program(test::under_mpirun(ranks, {GRIDMILL_EXAMPLE, cli().file("stories.h5")}),
                        cli().folder().path());
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::istringstream words(result.out);
  const std::vector<TokenId> ids{std::istream_iterator<TokenId>(words), {}};
  std::vector<std::vector<TokenId>> rows;
  for (std::size_t first = 0; first + kLength <= ids.size(); first += kLength) {
    rows.emplace_back(ids.begin() + static_cast<std::ptrdiff_t>(first),
                      ids.begin() + static_cast<std::ptrdiff_t>(first + kLength));
  }
  return rows;
}

TEST(GenerateTokensExample, IsTheGreedyStoryUntilItsFirstFullStopAndHasNone) {
  cli().folder().write("empty.txt", "\n");
  const ProgramResult greedy = cli().generate(
      {"--prompts", "empty.txt", "--max-length", "40", "--eod-token-id=-1", "--temperature", "0"});
  ASSERT_EQ(greedy.exit_code, 0) << greedy.err;
  const std::vector<TokenId> story = cli().tokens(0);
  const auto stop = std::find(story.begin(), story.end(), kFullStop);
  ASSERT_NE(stop, story.end());

  const std::vector<std::vector<TokenId>> rows = rows_of_example(1);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_TRUE(std::equal(story.begin(), stop, rows[0].begin()));
  for (const std::vector<TokenId>& row : rows) {
    EXPECT_EQ(std::count(row.begin(), row.end(), kFullStop), 0);
  }
}

TEST(GenerateTokensExample, RunsUnderMpirun) {
  const std::vector<std::vector<TokenId>> alone = rows_of_example(1);
  std::vector<std::vector<TokenId>> expected = alone;
  expected.insert(expected.end(), alone.begin(), alone.end());
  EXPECT_EQ(rows_of_example(2), expected);
}

}  // namespace
}  // namespace gridmill
