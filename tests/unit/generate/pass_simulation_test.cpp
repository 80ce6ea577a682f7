#include "gridmill/generate/pass_simulation.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "unit/generate/pool_fixture.hpp"

// The scheduling of the Generator without a model, held against the Generator.
namespace gridmill {
namespace {

using test::kLongestRow;
using test::kPage;
using test::request_of;
using test::walk;

constexpr std::int64_t kPassRows = 40;

struct Case {
  int slots = 1;
  std::int64_t pool_pages = 0;
};

class PassSimulation : public ::testing::TestWithParam<Case> {
 protected:
  /// Rows of 9 to 140 tokens, of which 1 to 70 are generated.
  static std::vector<RowLength> lengths() {
    std::vector<RowLength> all;
    for (std::int64_t i = 0; i < 24; ++i) {
      all.push_back({.prompt = 8 + 13 * i % 63, .generated = 1 + 29 * i % 70});
    }
    return all;
  }
};

TEST_P(PassSimulation, HasThePassesOfTheGenerator) {
  const auto backend = make_backend("reference", {});
  test::ModelRun run(test::pool_config(), *backend, 1, 8);
  Generator generator(*run.model, run.context, run.parameters,
                      {.slots = GetParam().slots,
                       .max_length = kLongestRow,
                       .pool_positions = GetParam().pool_pages * kPage,
                       .pass_rows = kPassRows});
  std::vector<Request> requests;
  for (const RowLength& length : lengths()) {
    Request request =
        request_of(static_cast<RowId>(requests.size()),
                   walk(static_cast<std::size_t>(length.prompt), 300, requests.size()),
                   length.prompt + length.generated);
    requests.push_back(std::move(request));
  }
  // As a replica does: the room is asked for once a pass.
  for (std::size_t next = 0; next < requests.size() || !generator.idle();) {
    for (int free = generator.free_slots(); free > 0 && next < requests.size(); --free) {
      ASSERT_TRUE(generator.admit(requests[next++]));
    }
    static_cast<void>(generator.step());
  }
  const GeneratorStatistics& actual = generator.statistics();

  const PassTotals simulated = simulate_passes(requests.size(), lengths(),
                                               {.slots = GetParam().slots,
                                                .pool_positions = GetParam().pool_pages * kPage,
                                                .longest = kLongestRow,
                                                .pass_rows = kPassRows},
                                               {});
  EXPECT_EQ(simulated.passes, static_cast<double>(actual.passes));
  EXPECT_EQ(simulated.drawn_tokens, static_cast<double>(actual.new_tokens));
  EXPECT_EQ(simulated.preempted_rows, static_cast<double>(actual.preempted_rows));
}

INSTANTIATE_TEST_SUITE_P(Pools, PassSimulation,
                         ::testing::Values(Case{1, 0}, Case{4, 0}, Case{8, 0}, Case{8, 6},
                                           Case{4, 5}));

TEST(PassSimulation, CountsPassesOfOneRowByHand) {
  const std::vector<RowLength> lengths = {{.prompt = 600, .generated = 3}};
  const PassTotals totals = simulate_passes(1, lengths, {.slots = 1, .pass_rows = 512}, {});
  EXPECT_EQ(totals.passes, 4) << "512 and 88 tokens of the prompt, then two generated ones";
  EXPECT_EQ(totals.fed_tokens, 602) << "the last token is not fed";
  EXPECT_EQ(totals.drawn_tokens, 3);
  EXPECT_EQ(totals.context, 512 + 600 + 601);
  EXPECT_EQ(totals.peak_pages, 10) << "of 602 positions";
  EXPECT_EQ(totals.peak_tokens, 512);
  EXPECT_EQ(totals.peak_rows, 1);
}

TEST(PassSimulation, OfManyRowsIsExtrapolated) {
  const std::vector<RowLength> lengths = {{.prompt = 10, .generated = 5}};
  const SlotPlan slots{.slots = 4, .pass_rows = 512};
  // Waves of 4 equal rows take 5 passes each.
  EXPECT_EQ(simulate_passes(128, lengths, slots, {}).passes, 160);
  const PassTotals many = simulate_passes(4000, lengths, slots, {});
  EXPECT_DOUBLE_EQ(many.passes, 5000);
  EXPECT_DOUBLE_EQ(many.drawn_tokens, 20000);
}

TEST(PassSimulation, AddsTheSecondsOfEveryPass) {
  const std::vector<RowLength> lengths = {{.prompt = 10, .generated = 5}};
  const PassTotals totals = simulate_passes(2, lengths, {.slots = 2, .pass_rows = 512},
                                            [](const PassTotals& pass) { return pass.fed_tokens; });
  EXPECT_EQ(totals.seconds, totals.fed_tokens);
}

}  // namespace
}  // namespace gridmill
