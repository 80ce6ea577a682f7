#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "unit/generate/generator_fixture.hpp"

// Rows that share one pool of positions: what is admitted, so that no row is ever stuck.
namespace gridmill {
namespace {

using test::ModelRun;
using test::request_of;

constexpr std::int64_t kPage = kKvPagePositions;

class PooledGenerator : public ::testing::Test {
 protected:
  Generator make(std::int64_t pool_positions) {
    return {*run_.model,
            run_.context,
            run_.parameters,
            {.slots = 4, .max_length = 2 * kPage, .pool_positions = pool_positions}};
  }
  std::unique_ptr<Backend> backend_ = make_backend("reference", {});
  ModelRun run_{test::llama_config(), *backend_, 1, 8};
};

TEST_F(PooledGenerator, AdmitsLongRowsWhileTheirLengthIsLeft) {
  Generator generator = make(5 * kPage);
  EXPECT_EQ(generator.free_slots(), 2);
  EXPECT_TRUE(generator.admit(request_of(1, {5}, 2 * kPage)));
  EXPECT_TRUE(generator.admit(request_of(2, {5}, 2 * kPage)));
  EXPECT_EQ(generator.free_slots(), 0);
  EXPECT_FALSE(generator.admit(request_of(3, {5}, 2 * kPage)));
}

TEST_F(PooledGenerator, LetsShortRowsPayForTheirOwnPagesOnly) {
  Generator generator = make(4 * kPage);
  for (RowId row = 0; row < 4; ++row) {
    EXPECT_TRUE(generator.admit(request_of(row, {5}, kPage))) << row;
  }
  EXPECT_EQ(generator.free_slots(), 0);
}

TEST_F(PooledGenerator, CountsTheLimitOfNewTokens) {
  Generator generator = make(3 * kPage);
  for (RowId row = 0; row < 3; ++row) {
    Request request = request_of(row, {5, 6}, 2 * kPage);
    request.max_new_tokens = kPage - 2;
    EXPECT_TRUE(generator.admit(request)) << row;
  }
  Request one_more = request_of(3, {5, 6}, 2 * kPage);
  one_more.max_new_tokens = kPage - 1;
  EXPECT_FALSE(generator.admit(one_more));
}

TEST_F(PooledGenerator, GetsBackWhatAFinishedRowHadSetAside) {
  Generator generator = make(2 * kPage);
  EXPECT_TRUE(generator.admit(request_of(1, {5}, 2)));
  EXPECT_EQ(generator.free_slots(), 0) << "one page is left, a row may want two";
  while (!generator.idle()) static_cast<void>(generator.step());
  EXPECT_EQ(generator.free_slots(), 1);
}

TEST_F(PooledGenerator, IsRefusedWithoutRoomForOneRow) {
  EXPECT_THROW(static_cast<void>(make(kPage)), UsageError);
}

}  // namespace
}  // namespace gridmill
