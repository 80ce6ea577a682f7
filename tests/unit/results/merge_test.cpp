#include "gridmill/results/merge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/results/recovery.hpp"
#include "sample.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::create_sample;
using test::sample_identity;
using test::SampleRow;
using test::slurp;
using test::TemporaryFolder;

constexpr std::uint64_t kRows = 40;

std::vector<ResultShape> shapes() {
  ResultShape first{.rows = kRows, .samples_per_prompt = 2, .max_length = 5};
  ResultShape plain = first;
  plain.version = 2;
  ResultShape wide = plain;
  wide.logprobs = 1;
  wide.valid = 1;
  wide.max_length = 3000;  // slots of several pages, mostly holes
  return {first, plain, wide};
}

/// A file with the rows that `wanted` names.
std::string make(const TemporaryFolder& folder, const std::string& name, const ResultShape& shape,
                 const std::function<bool(RowId)>& wanted) {
  std::string path = folder.file(name);
  create_sample(path, shape);
  ResultStore store = ResultStore::open(path, ResultFile::open(path).layout());
  for (RowId row = 0; row < shape.rows; ++row) {
    if (!wanted(row)) continue;
    const SampleRow sample(shape, row);
    store.put(sample.result());
  }
  store.close();
  return path;
}

void merge(const std::string& output, const std::vector<std::string>& parts) {
  ResultMerge merge(output, ResultFile::open(parts.front()));
  for (const std::string& part : parts) merge.add(ResultFile::open(part), 2);
  EXPECT_EQ(merge.missing(), 0U);
  EXPECT_TRUE(merge.missing_prompts().empty());
  merge.publish();
}

TEST(ResultMerge, MakesTheUndividedFileInAnyOrder) {
  for (const ResultShape& shape : shapes()) {
    const TemporaryFolder folder;
    const std::string whole = slurp(make(folder, "whole.h5", shape, [](RowId) { return true; }));
    const std::string low = make(folder, "low.h5", shape, [](RowId row) { return row < 18; });
    const std::string odd =
        make(folder, "odd.h5", shape, [](RowId row) { return row >= 18 && row % 2 == 1; });
    const std::string even =
        make(folder, "even.h5", shape, [](RowId row) { return row >= 16 && row % 2 == 0; });
    std::vector<std::string> parts = {even, low, odd};
    std::sort(parts.begin(), parts.end());
    do {
      const std::string output = folder.file("out.h5");
      std::filesystem::remove(output);
      merge(output, parts);
      EXPECT_TRUE(slurp(output) == whole);
    } while (std::next_permutation(parts.begin(), parts.end()));
  }
}

TEST(ResultMerge, NamesThePromptsOfWhichARowIsMissing) {
  const ResultShape shape = shapes()[1];
  const TemporaryFolder folder;
  const std::string part = make(folder, "part.h5", shape, [](RowId row) {
    return row >= 3 && row != 10 && row != 11 && row != 12 && row < 39;
  });
  ResultMerge merge(folder.file("out.h5"), ResultFile::open(part));
  merge.add(ResultFile::open(part), 1);
  EXPECT_EQ(merge.missing(), 7U);
  EXPECT_EQ(merge.counts().done + merge.counts().failed, kRows - 7);
  EXPECT_EQ(merge.missing_prompts(),
            (std::vector<PromptRange>{
                {.first = 0, .count = 2}, {.first = 5, .count = 2}, {.first = 19, .count = 1}}));
}

TEST(ResultMerge, LeavesNothingUnlessItIsPublished) {
  const ResultShape shape = shapes()[1];
  const TemporaryFolder folder;
  const std::string part = make(folder, "part.h5", shape, [](RowId) { return true; });
  folder.write("out.h5", "as it was");
  {
    ResultMerge merge(folder.file("out.h5"), ResultFile::open(part));
    merge.add(ResultFile::open(part), 1);
  }
  EXPECT_EQ(slurp(folder.file("out.h5")), "as it was");
  const auto files = std::filesystem::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 2);
}

TEST(ResultMerge, RepeatedRowsCountOnce) {
  const ResultShape shape = shapes()[1];
  const TemporaryFolder folder;
  const std::string part = make(folder, "part.h5", shape, [](RowId) { return true; });
  ResultMerge merge(folder.file("out.h5"), ResultFile::open(part));
  merge.add(ResultFile::open(part), 1);
  const MergeCounts once = merge.counts();
  merge.add(ResultFile::open(part), 1);
  EXPECT_EQ(merge.counts().done, once.done);
  EXPECT_EQ(merge.counts().failed, once.failed);
  EXPECT_EQ(merge.counts().repeated, once.done);
}

TEST(ResultMerge, OneBitOfDifferenceIsNamedWithRowDatasetAndFiles) {
  const ResultShape shape = shapes()[2];
  const TemporaryFolder folder;
  const std::string first = make(folder, "first.h5", shape, [](RowId row) { return row > 20; });
  const std::string second = make(folder, "second.h5", shape, [](RowId row) { return row < 9; });
  const std::string third = make(folder, "third.h5", shape, [](RowId) { return false; });
  {
    SampleRow other(shape, 8);
    other.logprobs.back() -= 1.0F;
    ResultStore store = ResultStore::open(third, ResultFile::open(third).layout());
    store.put(other.result());
    store.close();
  }
  ResultMerge merge(folder.file("out.h5"), ResultFile::open(first));
  merge.add(ResultFile::open(first), 1);
  merge.add(ResultFile::open(second), 1);
  try {
    merge.add(ResultFile::open(third), 1);
    FAIL() << "two contents of a row were joined";
  } catch (const FormatError& error) {
    const std::string text = error.what();
    // The record comes first, and holds the checksum of all else.
    for (const std::string& word : {std::string("row 8 "), second, third, std::string("in rows")}) {
      EXPECT_NE(text.find(word), std::string::npos) << word << " in " << text;
    }
  }
}

TEST(ResultMerge, PartialAndDamagedRowsAreNotTaken) {
  const ResultShape shape = shapes()[1];
  const TemporaryFolder folder;
  const std::string part = make(folder, "part.h5", shape, [](RowId row) { return row == 6; });
  const ResultLayout layout = ResultFile::open(part).layout();
  {
    ResultStore store = ResultStore::open(part, layout);
    const SampleRow begun(shape, 7);
    ASSERT_GT(begun.tokens.size(), 1U);
    store.put(begun.result(1));
    store.close();
  }
  test::flip_bit(part, layout.tokens_at(6), 3);
  ResultMerge merge(folder.file("out.h5"), ResultFile::open(part));
  merge.add(ResultFile::open(part), 1);
  EXPECT_EQ(merge.counts().damaged, 1U);
  EXPECT_EQ(merge.missing(), kRows);
  merge.publish();
  const ResultFile out = ResultFile::open(folder.file("out.h5"));
  const std::vector<RowState> states = scan_rows(out.rows(), out.layout(), 0, kRows);
  EXPECT_EQ(rows_in_state(states, RowState::missing).size(), kRows);
}

TEST(ResultMerge, OtherJobsAndShapesAreRefused) {
  const ResultShape shape = shapes()[1];
  const TemporaryFolder folder;
  const std::string part = make(folder, "part.h5", shape, [](RowId) { return true; });
  ResultMerge merge(folder.file("out.h5"), ResultFile::open(part));
  const auto refused = [&](const std::string& other, const std::string& why) {
    try {
      merge.add(ResultFile::open(other), 1);
      return testing::AssertionFailure() << "accepted " << other;
    } catch (const FormatError& error) {
      const std::string text = error.what();
      const bool named = text.find(why) != std::string::npos &&
                         text.find(part) != std::string::npos &&
                         text.find(other) != std::string::npos;
      return named ? testing::AssertionSuccess() : testing::AssertionFailure() << text;
    }
  };
  JobIdentity identity = sample_identity(2);
  identity.fields["seed"] = 8;
  identity.fields["top_k"] = 3;
  const std::string seed = folder.file("seed.h5");
  ResultFile::create(seed, identity, shape, "0.1.0");
  EXPECT_TRUE(
      refused(seed, "seed is 7 in " + part + " and 8 in " + seed + "; also different: top_k"));
  ResultShape older = shape;
  older.version = 1;
  EXPECT_TRUE(refused(make(folder, "old.h5", older, [](RowId) { return true; }), "format 1"));
}

}  // namespace
}  // namespace gridmill
