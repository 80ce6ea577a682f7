#include <gtest/gtest.h>

#include <future>
#include <latch>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "job/request_ahead_detail.hpp"

namespace gridmill::job_detail {
namespace {

PreparedRow request_of(RowId row) {
  Request request;
  request.row = row;
  return {.row = row, .request = std::move(request)};
}

std::vector<RowId> rows_from(RowId first, std::size_t count) {
  std::vector<RowId> rows(count);
  std::iota(rows.begin(), rows.end(), first);
  return rows;
}

TEST(RequestAhead, RowsComeOutInTheOrderOfTheirAnnouncement) {
  RequestAhead ahead(request_of);
  const std::vector<RowId> expected = {7, 8, 9, 3, 4, 20};
  ahead.announce(rows_from(7, 3));
  std::vector<RowId> taken = {ahead.take().row};
  ahead.announce(rows_from(3, 2));
  ahead.announce({});
  ahead.announce(rows_from(20, 1));
  EXPECT_EQ(ahead.size(), 5U);
  while (ahead.size() > 0) taken.push_back(ahead.take().row);
  EXPECT_EQ(taken, expected);
}

TEST(RequestAhead, ARowIsMadeOnceAnnouncedAndBeforeItIsWanted) {
  std::latch all_made(3);
  RequestAhead ahead([&all_made](RowId row) {
    PreparedRow made = request_of(row);
    all_made.count_down();
    return made;
  });
  ahead.announce(rows_from(0, 3));
  all_made.wait();  // nobody has asked for any of them
  EXPECT_EQ(ahead.size(), 3U);
}

TEST(RequestAhead, ASlowRowHoldsNobodyUpUntilItIsWanted) {
  std::latch may_go_on(1);
  RequestAhead ahead([&may_go_on](RowId row) {
    if (row == 1) may_go_on.wait();
    return request_of(row);
  });
  ahead.announce(rows_from(0, 3));
  EXPECT_EQ(ahead.take().row, 0U) << "the row before it";
  ahead.announce(rows_from(3, 1));
  EXPECT_EQ(ahead.size(), 3U);
  std::future<RowId> wanted = std::async(std::launch::async, [&ahead] { return ahead.take().row; });
  may_go_on.count_down();
  EXPECT_EQ(wanted.get(), 1U);
  EXPECT_EQ(ahead.take().row, 2U);
  EXPECT_EQ(ahead.take().row, 3U);
}

TEST(RequestAhead, AnErrorReachesWhoTakesItsRowAndNoOther) {
  RequestAhead ahead([](RowId row) -> PreparedRow {
    if (row == 1) throw IoError("prompts.txt: reading failed");
    if (row == 2) return {.row = row, .request = BadPrompt{"line 3 is not a JSON object"}};
    return request_of(row);
  });
  ahead.announce(rows_from(0, 4));
  EXPECT_EQ(ahead.take().row, 0U);
  try {
    static_cast<void>(ahead.take());
    FAIL() << "row 1 has an error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "prompts.txt: reading failed");
    EXPECT_EQ(error.code(), IoError("").code());
  }
  EXPECT_EQ(std::get<BadPrompt>(ahead.take().request).reason, "line 3 is not a JSON object");
  EXPECT_TRUE(std::holds_alternative<Request>(ahead.take().request));
}

TEST(RequestAhead, RowsThatNobodyWantsAnyMoreAreNotMade) {
  std::latch at_work(1);
  std::latch may_go_on(1);
  std::vector<RowId> made;
  {
    RequestAhead ahead([&](RowId row) {
      at_work.count_down();
      may_go_on.wait();
      made.push_back(row);
      return request_of(row);
    });
    ahead.announce(rows_from(0, 3));
    at_work.wait();
    ahead.end();  // does not wait: row 0 could not be finished yet
    EXPECT_EQ(ahead.size(), 0U);
    may_go_on.count_down();
  }
  EXPECT_EQ(made, rows_from(0, 1));
}

TEST(RequestAhead, ItCanEndWhileItIsBusyOrIdleOrNeverUsed) {
  { const RequestAhead never(request_of); }
  {
    RequestAhead idle(request_of);
    idle.announce(rows_from(0, 1));
    static_cast<void>(idle.take());
  }
  auto at_work = std::make_shared<std::latch>(1);
  RequestAhead busy([at_work](RowId row) {
    if (row == 0) at_work->count_down();
    return request_of(row);
  });
  busy.announce(rows_from(0, 1000));
  at_work->wait();
}

}  // namespace
}  // namespace gridmill::job_detail
