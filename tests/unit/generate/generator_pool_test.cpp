#include <gtest/gtest.h>

#include <array>

#include "gridmill/base/error.hpp"
#include "support/thread_exchange.hpp"
#include "unit/generate/pool_fixture.hpp"

// Rows that share one pool of positions: who has pages, who waits, and that it does not show.
namespace gridmill {
namespace {

using test::kLongestRow;
using test::kPage;
using test::kRowPages;
using test::ModelRun;
using test::request_of;
using test::walk;

class PooledGenerator : public ::testing::Test {
 protected:
  Generator make(int slots, std::int64_t pool_pages, std::int64_t pass_rows = 512) {
    return {counted_,
            run_.context,
            run_.parameters,
            {.slots = slots,
             .max_length = kLongestRow,
             .pool_positions = pool_pages * kPage,
             .pass_rows = pass_rows}};
  }
  std::unique_ptr<Backend> backend_ = make_backend("reference", {});
  ModelRun run_{test::pool_config(), *backend_, 1, 8};
  test::PageCount pages_;
  test::CountedModel counted_{*run_.model, pages_};
};

TEST_F(PooledGenerator, IsRefusedWithoutRoomForOneRow) {
  EXPECT_THROW(static_cast<void>(make(2, kRowPages - 1)), UsageError);
}

TEST_F(PooledGenerator, ExpectsLongRowsBeforeItHasSeenAny) {
  EXPECT_EQ(make(8, 3 * kRowPages + 1).free_slots(), 3);
  EXPECT_EQ(make(2, 3 * kRowPages + 1).free_slots(), 2);
}

TEST_F(PooledGenerator, ExpectsRowsLikeThoseInFlight) {
  Generator generator = make(16, 10);
  EXPECT_EQ(generator.free_slots(), 2);
  ASSERT_TRUE(generator.admit(request_of(1, walk(9, 300, 1), kLongestRow)));
  EXPECT_EQ(generator.free_slots(), 4) << "8 pages for rows of a prompt page and one to grow into";
  ASSERT_TRUE(generator.admit(request_of(2, walk(3 * kPage, 300, 1), kLongestRow)));
  EXPECT_EQ(generator.free_slots(), 1) << "4 pages for rows of 2 or 4";
}

TEST_F(PooledGenerator, AsksNoPageToGrowIntoForARowThatCannotGrow) {
  Generator generator = make(16, 10);
  ASSERT_TRUE(generator.admit(request_of(1, {5}, kPage)));
  EXPECT_EQ(generator.free_slots(), 9);
  Request limited = request_of(2, {5, 6}, kLongestRow);
  limited.limits.max_new_tokens = kPage - 2;
  ASSERT_TRUE(generator.admit(limited));
  EXPECT_EQ(generator.free_slots(), 8);
}

TEST_F(PooledGenerator, TakesEveryClaimedRowWhateverItsPrompt) {
  Generator generator = make(4, 2 * kRowPages);
  ASSERT_TRUE(generator.admit(request_of(0, {5}, kLongestRow)));
  ASSERT_EQ(generator.free_slots(), 3);
  for (RowId row = 1; row < 4; ++row) {
    EXPECT_TRUE(generator.admit(request_of(row, walk(4 * kPage, 300, row), kLongestRow))) << row;
  }
  EXPECT_EQ(generator.in_flight().size(), 4U);
  EXPECT_EQ(test::run_all(generator, {}).size(), 4U);
  EXPECT_LE(pages_.peak, 2 * kRowPages);
}

TEST_F(PooledGenerator, ClaimsNothingWhileARowWaits) {
  Generator generator = make(4, 6);
  ASSERT_TRUE(generator.admit(request_of(0, walk(3 * kPage, 300, 1), 3 * kPage + 3)));
  ASSERT_TRUE(generator.admit(request_of(1, walk(2 * kPage, 300, 2), 2 * kPage + 3)));
  EXPECT_EQ(generator.free_slots(), 0) << "4 pages and 3";
  while (generator.in_flight().size() == 2) static_cast<void>(generator.step());
  EXPECT_EQ(generator.free_slots(), 1) << "the other one has come in";
}

TEST_F(PooledGenerator, PutsOutTheYoungestRowAndTakesItInAgainBeforeANewOne) {
  Generator generator = make(4, kRowPages);
  // A page and one to grow into for both; the first one ends on its fourth page, the second one has
  // been put out by then.
  Request oldest = request_of(1, {5}, 4 * kPage);
  oldest.logprobs = true;
  Request youngest = request_of(2, walk(40, 300, 1), 3 * kPage);
  youngest.logprobs = true;
  ASSERT_TRUE(generator.admit(oldest));
  ASSERT_TRUE(generator.admit(youngest));
  std::vector<RowId> order;
  std::size_t generated = 0;
  while (!generator.idle()) {
    for (const Completion& completion : generator.step()) order.push_back(completion.row);
    for (const InFlightRow& row : generator.in_flight()) {
      EXPECT_EQ(row.logprobs.size(), row.tokens.size());
      if (row.row != 2) continue;
      EXPECT_GE(row.tokens.size(), generated) << "what it has generated stays";
      generated = row.tokens.size();
    }
    if (generator.statistics().preempted_rows > 0 && order.empty()) {
      EXPECT_EQ(generator.free_slots(), 0);
    }
  }
  EXPECT_EQ(order, (std::vector<RowId>{1, 2}));
  EXPECT_EQ(generator.statistics().preempted_rows, 1);
  EXPECT_EQ(pages_.peak, kRowPages);
}

TEST_F(PooledGenerator, AlwaysHasARowThatEnds) {
  // One row of the longest length fills the pool, and every row becomes one.
  Generator generator = make(6, kRowPages);
  std::vector<Request> requests;
  for (RowId row = 0; row < 6; ++row) {
    requests.push_back(request_of(row, {static_cast<TokenId>(row)}, kLongestRow));
  }
  for (const Request& request : requests) ASSERT_TRUE(generator.admit(request));
  std::vector<RowId> order;
  while (!generator.idle()) {
    for (const Completion& completion : generator.step()) order.push_back(completion.row);
    // Alone, one after the other, they would take as many.
    ASSERT_LE(generator.statistics().passes, 6 * kLongestRow);
  }
  EXPECT_EQ(order, (std::vector<RowId>{0, 1, 2, 3, 4, 5})) << "oldest first";
  EXPECT_GT(generator.statistics().preempted_rows, 0);
  EXPECT_LE(pages_.peak, kRowPages);
}

TEST_F(PooledGenerator, KeepsMoreRowsInFlightThanSettingAsideTheirLongestLength) {
  std::vector<Request> requests;
  for (RowId row = 0; row < 40; ++row) {
    requests.push_back(request_of(row, walk(5, 300, row), kLongestRow));
    // Of 300 about equally likely ones: a row has some 20 new tokens.
    for (TokenId id = 0; id < 15; ++id) requests.back().limits.eod_token_ids.push_back(id * 20);
  }
  Generator pooled = make(16, 2 * kRowPages);
  const auto found = test::run_claims(pooled, requests);
  // Pages for two rows of the longest length: two slots.
  Generator reserving(*run_.model, run_.context, run_.parameters,
                      {.slots = 2, .max_length = kLongestRow});
  test::expect_same_rows(found, test::run_claims(reserving, requests));
  EXPECT_LT(pooled.statistics().passes * 3, reserving.statistics().passes * 2);
  EXPECT_LE(pages_.peak, 2 * kRowPages);
}

TEST_F(PooledGenerator, CountsTokensThatAreFedAgainByThemselves) {
  const std::vector<Request> requests = test::random_requests(3, 10);
  Generator roomy = make(1, kRowPages);
  static_cast<void>(test::run_claims(roomy, requests));
  ASSERT_EQ(roomy.statistics().preempted_rows, 0);
  EXPECT_EQ(roomy.statistics().refed_tokens, 0);
  Generator tight = make(8, kRowPages);
  static_cast<void>(test::run_claims(tight, requests));
  ASSERT_GT(tight.statistics().preempted_rows, 0);
  EXPECT_GT(tight.statistics().refed_tokens, 0);
  EXPECT_EQ(tight.statistics().prompt_tokens, roomy.statistics().prompt_tokens);
  EXPECT_EQ(tight.statistics().new_tokens, roomy.statistics().new_tokens);
}

TEST_F(PooledGenerator, LeavesARecurrentModelAlone) {
  ModelRun run(test::xlstm_config(), *backend_, 1, 8);
  Generator generator(*run.model, run.context, run.parameters,
                      {.slots = 4, .max_length = kLongestRow, .pool_positions = kPage});
  EXPECT_EQ(generator.free_slots(), 4);
  EXPECT_EQ(test::run_claims(generator, test::random_requests(1, 6)).size(), 6U);
  EXPECT_EQ(generator.statistics().preempted_rows, 0);
}

class PooledRows : public PooledGenerator, public ::testing::WithParamInterface<std::uint32_t> {};

TEST_P(PooledRows, HaveTheBitsOfASlotOfTheirOwn) {
  std::vector<Request> requests = test::random_requests(GetParam(), 10);
  Generator alone(*run_.model, run_.context, run_.parameters,
                  {.slots = 1, .max_length = kLongestRow});
  const auto expected = test::run_claims(alone, requests);
  for (const bool replayed : {false, true}) {
    if (replayed) test::give_replays(requests, expected);
    std::int64_t preempted = 0;
    for (const auto& [pool, pass_rows] : {std::pair{kRowPages, 512}, {kRowPages + 3, 30}}) {
      pages_ = {};
      Generator generator = make(5, pool, pass_rows);
      test::expect_same_rows(test::run_claims(generator, requests), expected);
      preempted += generator.statistics().preempted_rows;
      EXPECT_LE(pages_.peak, pool) << "pass_rows " << pass_rows;
    }
    EXPECT_GT(preempted, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, PooledRows, ::testing::Range(1U, 6U));

TEST(PooledTpGroup, PutsOutTheSameRowsOnEveryRank) {
  const std::vector<Request> requests = test::random_requests(5, 8);
  const auto run_on = [&](Exchange& tp, GeneratorStatistics& statistics) {
    const auto backend = make_backend("reference", {});
    const auto model = make_model(test::pool_config());
    const auto stream = backend->make_stream();
    ExecutionContext context{*backend, *stream, tp};
    test::MemoryParameters parameters(*backend, *model, test::random_tensors(*model, 1), tp.size(),
                                      tp.rank());
    Generator generator(
        *model, context, parameters,
        {.slots = 5, .max_length = kLongestRow, .pool_positions = kRowPages * kPage});
    std::map<RowId, Completion> rows = test::run_claims(generator, requests);
    statistics = generator.statistics();
    return rows;
  };
  NoExchange alone;
  std::array<GeneratorStatistics, 3> statistics;
  std::array<std::map<RowId, Completion>, 2> found;
  const std::map<RowId, Completion> expected = run_on(alone, statistics[2]);
  test::ThreadGroup(2).run([&](Exchange& tp) {
    const auto rank = static_cast<std::size_t>(tp.rank());
    found[rank] = run_on(tp, statistics[rank]);
  });
  EXPECT_GT(statistics[2].preempted_rows, 0);
  for (const std::size_t rank : {0U, 1U}) {
    test::expect_same_rows(found[rank], expected);
    EXPECT_EQ(statistics[rank].preempted_rows, statistics[2].preempted_rows);
    EXPECT_EQ(statistics[rank].passes, statistics[2].passes);
  }
}

}  // namespace
}  // namespace gridmill
