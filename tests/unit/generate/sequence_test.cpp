#include <gtest/gtest.h>

#include "generate/sequence_detail.hpp"
#include "unit/generate/generator_fixture.hpp"

namespace gridmill::generate_detail {
namespace {

void expect_piece(const Piece& found, std::int64_t count, Origin origin, LogitsWanted want) {
  EXPECT_EQ(found.count, count);
  EXPECT_EQ(found.origin, origin);
  EXPECT_EQ(found.want, want);
}

Request request_with(std::size_t prompt, std::vector<TokenId> replay, bool logprobs) {
  Request request = test::request_of(1, test::walk(prompt, 300, 1), 200);
  request.replay = std::move(replay);
  request.logprobs = logprobs;
  return request;
}

TEST(PieceOfARow, WantsTheLogitsOfItsLastTokenAlone) {
  Sequence row(request_with(4, {}, false));
  expect_piece(row.piece(3), 3, Origin::given, LogitsWanted::none);
  expect_piece(row.piece(4), 4, Origin::given, LogitsWanted::last);
}

TEST(PieceOfARow, HasOneOrigin) {
  Sequence row(request_with(4, {7, 8, 9}, false));
  expect_piece(row.piece(7), 4, Origin::given, LogitsWanted::none);
  row.take(4);
  expect_piece(row.piece(3), 3, Origin::generated, LogitsWanted::last);
}

TEST(PieceOfARow, WantsAllLogitsForLogprobs) {
  Sequence row(request_with(4, {7, 8, 9}, true));
  expect_piece(row.piece(7), 4, Origin::given, LogitsWanted::all);
}

TEST(PieceOfARow, WantsNoLogprobTwice) {
  Sequence row(request_with(4, {7, 8, 9}, true));
  row.take(4);
  row.logprobs = {0, -1, -2, -3, -4};
  row.put_out();
  // Logits of the prompt's last token predict token 4, which is known; token 5 is not.
  expect_piece(row.piece(7), 4, Origin::given, LogitsWanted::none);
  row.take(4);
  expect_piece(row.piece(3), 3, Origin::generated, LogitsWanted::all);
}

TEST(PieceOfARow, EndsWhereKnownLogprobsEnd) {
  Sequence row(request_with(6, {}, true));
  row.take(3);
  row.logprobs = {0, -1, -2, -3};
  row.put_out();
  expect_piece(row.piece(6), 3, Origin::given, LogitsWanted::none);
  row.take(3);
  expect_piece(row.piece(3), 3, Origin::given, LogitsWanted::all);
}

TEST(PieceOfARow, DrawsOnceAllIsFedAgain) {
  Sequence row(request_with(2, {}, true));
  row.take(2);
  row.tokens.insert(row.tokens.end(), {7, 8, 9});
  row.logprobs = {0, -1, -2, -3, -4};
  row.put_out();
  row.take(2);
  expect_piece(row.piece(3), 3, Origin::generated, LogitsWanted::last);
}

TEST(TokensFedAgain, AreThoseThatTheStateHeldBefore) {
  Sequence row(request_with(6, {}, false));
  EXPECT_EQ(row.refed(6), 0);
  row.take(4);
  row.put_out();
  EXPECT_EQ(row.refed(6), 4);
  row.take(3);
  EXPECT_EQ(row.refed(3), 1);
}

TEST(DemandOfARow, IsItsTokensAndAPageIfItMayGrowIntoOne) {
  Sequence row(request_with(64, {}, false));
  EXPECT_EQ(row.demand().needs, 1);
  EXPECT_EQ(row.demand().wants, 2);
  row.take(64);
  row.tokens.push_back(5);
  EXPECT_EQ(row.demand().needs, 2);
  EXPECT_EQ(row.demand().wants, 3);
  EXPECT_EQ(row.demand().first, 2);
  row.put_out();
  EXPECT_EQ(row.demand().needs, 2) << "all of it is fed again";
}

TEST(DemandOfARow, StopsAtItsLimits) {
  Request request = request_with(60, {}, false);
  request.limits.max_new_tokens = 4;
  EXPECT_EQ(Sequence(request).demand().wants, 1);
  request.limits.max_new_tokens = 5;
  EXPECT_EQ(Sequence(request).demand().wants, 2);
  request.max_length = 64;
  EXPECT_EQ(Sequence(request).demand().wants, 1);
}

TEST(DemandOfARow, IsNothingOnceItHasEndedWithNothingToFeed) {
  Request request = request_with(6, {9}, false);
  request.limits.eod_token_ids = {9};
  EXPECT_EQ(Sequence(request).demand().needs, 0);
}

}  // namespace
}  // namespace gridmill::generate_detail
