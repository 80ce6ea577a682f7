#include "gridmill/params/shape.hpp"

#include <gtest/gtest.h>

namespace gridmill {
namespace {

TEST(ReductionBlocks, AreAnEighthRoundedUpToAnEvenNumber) {
  EXPECT_EQ(reduction_block_inputs(64), 8);
  EXPECT_EQ(reduction_block_inputs(65), 10);
  EXPECT_EQ(reduction_block_inputs(72), 10);
  EXPECT_EQ(reduction_block_inputs(1), 2);
}

TEST(ReductionSlice, GivesEachRankConsecutiveWholeBlocks) {
  for (const std::int64_t inputs : {1, 7, 52, 64, 65, 4096, 10944}) {
    const std::int64_t block = reduction_block_inputs(inputs);
    ASSERT_GT(block, 0);
    for (const int tp : {1, 2, 4, 8}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < tp; ++rank) {
        const IndexRange slice = reduction_slice(inputs, tp, rank);
        EXPECT_EQ(slice.first, next);
        const bool ends_at_block = slice.end() % block == 0;
        EXPECT_TRUE(ends_at_block || slice.end() == inputs);
        next = slice.end();
      }
      EXPECT_EQ(next, inputs);
    }
  }
}

TEST(ReductionSlice, MayBeShortOrEmptyAtTheEnd) {
  // Blocks of 8: 0-7, ..., 48-51, none.
  EXPECT_EQ(reduction_slice(52, 8, 6), (IndexRange{48, 4}));
  EXPECT_EQ(reduction_slice(52, 8, 7), (IndexRange{52, 0}));
}

TEST(VocabularySlice, GivesEachRankWholeGroupsOfBlocks) {
  EXPECT_EQ(vocabulary_group_ids(300), 64);
  EXPECT_EQ(vocabulary_group_ids(50304), 64 * 99);  // 786 blocks, 8 groups of 99
  for (const std::int64_t vocab_size : {1, 64, 300, 512, 50304, 128256}) {
    for (const int tp : {1, 2, 4, 8}) {
      std::int64_t next = 0;
      for (int rank = 0; rank < tp; ++rank) {
        const IndexRange slice = vocabulary_slice(vocab_size, tp, rank);
        EXPECT_EQ(slice.first, next);
        next = slice.end();
      }
      EXPECT_EQ(next, vocab_size);
    }
  }
}

TEST(EvenShard, PartsDifferByAtMostOne) {
  for (const std::int64_t count : {0, 1, 5, 8, 100}) {
    std::int64_t next = 0;
    for (int index = 0; index < 8; ++index) {
      const IndexRange shard = even_shard(count, 8, index);
      EXPECT_EQ(shard.first, next);
      EXPECT_GE(shard.count, count / 8);
      EXPECT_LE(shard.count, count / 8 + 1);
      next = shard.end();
    }
    EXPECT_EQ(next, count);
  }
}

}  // namespace
}  // namespace gridmill
