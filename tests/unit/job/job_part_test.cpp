#include "gridmill/job/job_part.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

TEST(JobPart, IsWrittenAsNumberOfNumber) {
  EXPECT_EQ(job_part_from_text("2/8"), (JobPart{.number = 2, .of = 8}));
  EXPECT_EQ(job_part_from_text("1/1"), (JobPart{.number = 1, .of = 1}));
  EXPECT_EQ(to_text({.number = 2, .of = 8}), "2/8");
}

TEST(JobPart, AnythingElseIsAUsageError) {
  for (const char* text :
       {"", "/", "2", "0/8", "9/8", "2/0", "-1/8", "+1/8", "1/-8", "2/8/9", "a/8", "2/b", " 2/8",
        "2 / 8", "2/8 ", "1/99999999999999999999", "1/3000000000"}) {
    EXPECT_THROW(static_cast<void>(job_part_from_text(text)), UsageError) << text;
  }
}

TEST(JobPart, PartsHoldEachRowOnceInOrder) {
  for (const std::uint64_t samples : {1, 3}) {
    for (std::uint64_t prompts = 0; prompts < 20; ++prompts) {
      for (std::uint64_t of = 1; of < 25; ++of) {
        std::uint64_t next = 0;
        for (std::uint64_t number = 1; number <= of; ++number) {
          const RowRange range =
              rows_of_part({.number = number, .of = of}, prompts * samples, samples);
          EXPECT_EQ(range.first, next);
          next += range.count;
        }
        EXPECT_EQ(next, prompts * samples);
      }
    }
  }
}

TEST(JobPart, SamplesOfAPromptStayTogetherAndPartsAreEven) {
  for (std::uint64_t number = 1; number <= 4; ++number) {
    const RowRange range = rows_of_part({.number = number, .of = 4}, 10 * 3, 3);
    EXPECT_EQ(range.first % 3, 0U);
    EXPECT_EQ(range.count, number <= 2 ? 9U : 6U) << "10 prompts are 3, 3, 2 and 2";
  }
}

TEST(JobPart, MorePartsThanPromptsLeaveSomeEmpty) {
  EXPECT_EQ(rows_of_part({.number = 2, .of = 5}, 2, 1), (RowRange{.first = 1, .count = 1}));
  EXPECT_EQ(rows_of_part({.number = 5, .of = 5}, 2, 1), (RowRange{.first = 2, .count = 0}));
}

TEST(JobPart, TheLargestJobDoesNotOverflow) {
  const std::uint64_t rows = std::numeric_limits<std::uint64_t>::max();
  const JobPart last{.number = 2147483647, .of = 2147483647};
  const RowRange range = rows_of_part(last, rows, 1);
  EXPECT_EQ(range.first + range.count, rows);
}

}  // namespace
}  // namespace gridmill
