#include "gridmill/generate/slot_plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

StateBudget host(std::uint64_t mib) { return {.bytes = mib * kMiB, .most_slots = 64}; }
StateBudget device(std::uint64_t mib) {
  return {.bytes = mib * kMiB, .most_slots = 256, .pooled = true};
}
/// 1 MiB a slot of 128 positions.
SequenceNeeds cached(int slots) {
  return {.slots = slots, .max_length = 128, .bytes_per_slot = kMiB};
}
SequenceNeeds recurrent(int slots) {
  return {.slots = slots, .max_length = 128, .bytes_per_slot = kMiB, .fixed_size = true};
}

TEST(SlotsOnTheHost, AreAsManyAsFitAndAreWorthHaving) {
  EXPECT_EQ(plan_slots(host(10), cached(0)).slots, 10);
  EXPECT_EQ(plan_slots(host(1000), cached(0)).slots, 64);
  EXPECT_EQ(plan_slots(host(10), cached(0)).pool_positions, 0);
}

TEST(SlotsOnTheHost, AreTakenAsAskedForSincePagesComeWhenTouched) {
  EXPECT_EQ(plan_slots(host(10), cached(20)).slots, 20);
}

TEST(SlotsOnTheHost, AreThoseWorthHavingWhereMemoryIsUnknown) {
  EXPECT_EQ(plan_slots({.known = false, .most_slots = 64}, cached(0)).slots, 64);
}

StateBudget paged_host(std::uint64_t mib) {
  return {.bytes = mib * kMiB, .most_slots = 64, .pooled = true, .on_demand = true};
}

TEST(SlotsOfAPagedHost, FollowFromMemoryAndNotFromTheLongestLength) {
  const SlotPlan plan = plan_slots(paged_host(10), cached(0));
  EXPECT_EQ(plan.slots, 64);
  EXPECT_EQ(plan.pool_positions, 10 * 128);
  EXPECT_EQ(plan.whole_slots(), 10);
}

TEST(SlotsOfAPagedHost, AreTakenAsAskedForAndShareWhatMemoryThereIs) {
  const SlotPlan plan = plan_slots(paged_host(10), cached(200));
  EXPECT_EQ(plan.slots, 200);
  EXPECT_EQ(plan.pool_positions, 10 * 128);
  EXPECT_EQ(plan_slots(paged_host(0), cached(20)).pool_positions, 128) << "room for one row";
  EXPECT_THROW(static_cast<void>(plan_slots(paged_host(0), cached(0))), ResourceError);
}

TEST(SlotsOfAPagedHost, CountOnWindowsWhereAllRowsAreLong) {
  // Half of the layers keep 256 positions of 1,024; a position takes 1 KiB.
  SequenceNeeds needs{.slots = 4, .max_length = 1024, .bytes_per_slot = (512 + 128) * 1024};
  needs.bytes_at = [](std::int64_t length) {
    return static_cast<std::size_t>(512 * length + 512 * std::min<std::int64_t>(length, 256));
  };
  EXPECT_EQ(
      plan_slots({.bytes = 4 * 640 * 1024, .most_slots = 64, .pooled = true, .on_demand = true},
                 needs)
          .pool_positions,
      4 * 1024)
      << "four rows of the longest length fit";
  EXPECT_EQ(
      plan_slots({.bytes = 512 * 1024, .most_slots = 64, .pooled = true, .on_demand = true}, needs)
          .pool_positions,
      1024)
      << "one row has to";
}

TEST(KeptPrefixes, AreNoneUnlessAskedFor) {
  EXPECT_EQ(plan_slots(paged_host(10), cached(0)).prefixes, 0);
  EXPECT_EQ(plan_slots(host(10), recurrent(0)).prefixes, 0);
}

TEST(KeptPrefixes, OfFixedSizeTakeAnEighthAtMost) {
  SequenceNeeds needs = recurrent(0);
  needs.prefix_memory = std::nullopt;
  EXPECT_EQ(plan_slots(host(80), needs), (SlotPlan{.slots = 64, .prefixes = 10}));
  EXPECT_EQ(plan_slots(host(16), needs), (SlotPlan{.slots = 14, .prefixes = 2}));
  EXPECT_EQ(plan_slots(host(4), needs), (SlotPlan{.slots = 4}));
  needs.prefix_memory = 5 * kMiB;
  EXPECT_EQ(plan_slots(host(16), needs), (SlotPlan{.slots = 11, .prefixes = 5}));
}

TEST(KeptPrefixes, OfACacheHaveALimitInPages) {
  SequenceNeeds needs = cached(4);
  needs.prefix_memory = std::nullopt;
  EXPECT_EQ(plan_slots(paged_host(10), needs).prefix_positions, 0) << "what rows leave of the pool";
  EXPECT_GT(plan_slots(paged_host(10), needs).prefixes, 0);
  needs.prefix_memory = 2 * kMiB;
  EXPECT_EQ(plan_slots(paged_host(10), needs).prefix_positions, 2 * 128);
  needs.prefix_memory = 1000;
  EXPECT_EQ(plan_slots(paged_host(10), needs).prefixes, 0) << "less than a page";
}

TEST(SlotsOfADevice, ShareAPoolOfWhatMayBeTaken) {
  const SlotPlan plan = plan_slots(device(10), cached(0));
  EXPECT_EQ(plan.slots, 256) << "short rows may use them all";
  EXPECT_EQ(plan.pool_positions, 10 * 128);
  EXPECT_EQ(plan.whole_slots(), 10);
}

TEST(SlotsOfADevice, TakeNoMoreThanTheyCanUse) {
  EXPECT_EQ(plan_slots(device(1000), cached(3)).pool_positions, 3 * 128);
}

TEST(SlotsOfADevice, ShareWholePages) {
  // 100 positions of 1 MiB: a position takes 10,486 bytes, 1.5 MiB hold 150 of them.
  const SequenceNeeds needs{.slots = 2, .max_length = 100, .bytes_per_slot = kMiB};
  const StateBudget budget{.bytes = 3 * kMiB / 2, .most_slots = 256, .pooled = true};
  EXPECT_EQ(plan_slots(budget, needs).pool_positions, 128);
}

TEST(SlotsOfADevice, PayForStatesOfFixedSizeFirst) {
  // 256 KiB of each slot's MiB do not grow: 16 slots take 4 MiB, positions 6 KiB each.
  SequenceNeeds needs = cached(16);
  needs.fixed_bytes = kMiB / 4;
  EXPECT_EQ(plan_slots(device(10), needs).pool_positions, 6 * 1024 / 6);
}

TEST(SlotsOfADevice, OfFixedSizeAreThoseThatFit) {
  EXPECT_EQ(plan_slots(device(10), recurrent(0)), (SlotPlan{.slots = 10}));
  EXPECT_EQ(plan_slots(device(1000), recurrent(0)), (SlotPlan{.slots = 256}));
  EXPECT_EQ(plan_slots(device(10), recurrent(7)), (SlotPlan{.slots = 7}));
}

TEST(SlotsOfADevice, AreRefusedBeforeTheRunWhereTheyDoNotFit) {
  EXPECT_THROW(static_cast<void>(plan_slots(device(0), cached(0))), ResourceError);
  EXPECT_THROW(static_cast<void>(plan_slots(device(0), recurrent(1))), ResourceError);
  EXPECT_THROW(static_cast<void>(plan_slots(device(10), recurrent(11))), ResourceError);
  const SequenceNeeds page_more{.max_length = 65, .bytes_per_slot = kMiB};
  EXPECT_THROW(static_cast<void>(plan_slots(device(1), page_more)), ResourceError)
      << "65 positions take two pages";
}

/// A unit of one matrix.
UnitSpec unit_of(const MatrixShape& shape) {
  UnitSpec unit;
  unit.matrices.resize(1);
  unit.matrices[0].shape = shape;
  return unit;
}
/// Two layers and a head of 1,000 ids.
ModelParameters two_layers() {
  ModelParameters parameters;
  parameters.units = {unit_of({.outputs = 10, .inputs = 40, .row_parallel = true}),
                      unit_of({.outputs = 30, .inputs = 50}),
                      unit_of({.outputs = 1000, .inputs = 10})};
  return parameters;
}

TEST(Workspace, GrowsByTheLargestLayerARow) {
  const ModelParameters parameters = two_layers();
  const std::uint64_t row =
      workspace_bytes(parameters, 1, 1001) - workspace_bytes(parameters, 1, 1000);
  EXPECT_GE(row, (2U * 30 + 3 * 50) * 4);
  EXPECT_LT(row, 1000U * 4) << "no row more has logits";
}

TEST(Workspace, HasTheLogitsOfSoManyRowsAtMost) {
  const ModelParameters parameters = two_layers();
  EXPECT_GE(workspace_bytes(parameters, 1, 2) - workspace_bytes(parameters, 1, 1), 1000U * 4);
  EXPECT_GE(workspace_bytes(parameters, 1, kLogitRows), kLogitRows * 1000U * 4);
}

TEST(Workspace, HasThePartsOfEveryRankOfAGroup) {
  const ModelParameters parameters = two_layers();
  EXPECT_GE(workspace_bytes(parameters, 4, 7) - workspace_bytes(parameters, 1, 7), 7U * 4 * 10 * 4);
}

TEST(RowsOfAPass, AreThoseWorthHavingWhereTheyTakeAnEighthOrLess) {
  const ModelParameters parameters = two_layers();
  StateBudget budget = device(0);
  budget.pass_rows = 2048;
  budget.bytes = 8 * workspace_bytes(parameters, 1, 2048 + 10);
  EXPECT_EQ(plan_pass_rows(budget, parameters, 1, 10), 2048);
  budget.bytes -= 1;
  EXPECT_EQ(plan_pass_rows(budget, parameters, 1, 10), 1024);
  budget.bytes = 8 * workspace_bytes(parameters, 1, 128 + 10);
  EXPECT_EQ(plan_pass_rows(budget, parameters, 1, 10), 128);
  budget.bytes = 0;
  EXPECT_EQ(plan_pass_rows(budget, parameters, 1, 10), 64);
}

TEST(RowsOfAPass, OfTheHostDoNotDependOnItsMemory) {
  EXPECT_EQ(plan_pass_rows(host(0), two_layers(), 1, 10), 512);
}

}  // namespace
}  // namespace gridmill
