#include "gridmill/plan/grid_plan.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/bench/bench.hpp"

namespace gridmill {
namespace {

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr PlanMachine kCluster{.nodes = 4, .cores = 64, .memory_bytes = 256 * kGiB};

class GridPlanTest : public ::testing::Test {
 protected:
  [[nodiscard]] PlanRequest request(const PlannedModel& model) const {
    return {.model = model,
            .backend = *backend_,
            .slots = {.max_length = 2048},
            .result = {.rows = 100'000, .max_length = 2048},
            .lengths = {{.prompt = 200, .generated = 300}},
            .speed = std::nullopt};
  }
  std::unique_ptr<Backend> backend_ = make_backend("reference", {.compute_dtype = DType::bf16});
  PlannedModel llama_ = planned_model(model_of_shape("llama-8b", {}), DType::bf16, {});
  PlannedModel xlstm_ = planned_model(model_of_shape("xlstm-7b", {}), DType::bf16, {});
};

TEST_F(GridPlanTest, CountsTheMemoryOfANode) {
  const GridPlan plan = plan_grid(request(llama_), kCluster,
                                  {.grid = {.dp = 32, .fsdp = 1, .tp = 1}, .ranks_per_node = 8});
  ASSERT_TRUE(plan.fits()) << plan.refusal;
  EXPECT_EQ(plan.threads, 8);
  EXPECT_EQ(plan.replica_rows, 3125U);
  EXPECT_EQ(plan.node_bytes, 8 * plan.rank.own() + plan.rank.shared_parameters)
      << "one copy of the parameters";
  EXPECT_EQ(plan.rank.shared_parameters, plan.parameters.shared_bytes);
  EXPECT_EQ(plan.passes.peak_rows, plan.slots.slots);
  // A page has keys and values of 32 layers, 8 heads of 128 numbers, 64 positions, in bf16.
  constexpr std::uint64_t kPage = 2ULL * 64 * 32 * 8 * 128 * 2;
  EXPECT_EQ(plan.rank.states, kPage * static_cast<std::uint64_t>(plan.passes.peak_pages));
  EXPECT_LE(plan.passes.peak_pages, 64 * 8) << "rows of 500 tokens take 8 pages";
  EXPECT_GT(plan.passes.peak_pages, 64 * 5);
  EXPECT_GT(plan.bytes_read, 4 * llama_.stored_bytes() * 99 / 100) << "once a node";
  EXPECT_EQ(plan.exchanged_bytes, 0);
  EXPECT_FALSE(plan.times);
}

TEST_F(GridPlanTest, OfARecurrentModelLimitsTheSlots) {
  const PlanMachine small{.nodes = 1, .cores = 8, .memory_bytes = 24 * kGiB};
  const GridPlan plan = plan_grid(request(xlstm_), small,
                                  {.grid = {.dp = 4, .fsdp = 1, .tp = 1}, .ranks_per_node = 4});
  ASSERT_TRUE(plan.fits()) << plan.refusal;
  EXPECT_LT(plan.slots.slots, 64);
  EXPECT_LE(plan.row_bytes * static_cast<std::uint64_t>(plan.slots.slots), plan.state_room_bytes);
}

TEST_F(GridPlanTest, SaysWhatDoesNotFitAndWhatToChange) {
  const PlanMachine small{.nodes = 2, .cores = 8, .memory_bytes = 12 * kGiB};
  const GridPlan whole = plan_grid(request(llama_), small,
                                   {.grid = {.dp = 2, .fsdp = 1, .tp = 1}, .ranks_per_node = 1});
  EXPECT_FALSE(whole.fits());
  EXPECT_NE(whole.refusal.find("parameters take 15.0 GiB"), std::string::npos) << whole.refusal;
  EXPECT_NE(whole.refusal.find("--tp"), std::string::npos) << whole.refusal;
  const GridPlan sliced = plan_grid(request(llama_), small,
                                    {.grid = {.dp = 1, .fsdp = 1, .tp = 2}, .ranks_per_node = 1});
  EXPECT_TRUE(sliced.fits()) << sliced.refusal;
}

TEST_F(GridPlanTest, RefusesGridsThatDoNotFillTheNodes) {
  EXPECT_THROW(
      static_cast<void>(plan_grid(request(llama_), kCluster,
                                  {.grid = {.dp = 3, .fsdp = 1, .tp = 1}, .ranks_per_node = 2})),
      UsageError);
  EXPECT_THROW(
      static_cast<void>(plan_grid(request(llama_), kCluster,
                                  {.grid = {.dp = 4, .fsdp = 1, .tp = 3}, .ranks_per_node = 12})),
      UsageError);
}

TEST_F(GridPlanTest, RanksGridsThatFitFirst) {
  const PlanMachine small{.nodes = 2, .cores = 4, .memory_bytes = 12 * kGiB};
  const std::vector<GridPlan> plans = plan_grids(request(llama_), small, {});
  ASSERT_GT(plans.size(), 4U);
  EXPECT_TRUE(plans.front().fits());
  EXPECT_FALSE(plans.back().fits());
  for (std::size_t i = 1; i < plans.size(); ++i) {
    EXPECT_GE(plans[i - 1].fits(), plans[i].fits()) << i;
  }
  EXPECT_NE(why_behind(plans.back(), plans.front()).find("does not fit"), std::string::npos);
}

TEST_F(GridPlanTest, WithLimitsTheShortestTimeIsFirst) {
  PlanRequest fast = request(llama_);
  fast.speed = PlanSpeed{.limits = {.read_bytes_per_s = 300e9,
                                    .update_bytes_per_s = 300e9,
                                    .bf16_flop_per_s = 6e12,
                                    .fp32_flop_per_s = 3e12}};
  const std::vector<GridPlan> plans = plan_grids(fast, kCluster, {.ranks_per_node = 8});
  ASSERT_TRUE(plans.front().times);
  for (const GridPlan& plan : plans) {
    if (!plan.fits()) continue;
    EXPECT_GE(plan.times->generate_s, plans.front().times->generate_s);
  }
  // All products at the peak of 4 nodes: the bound of any grid.
  const double least_s = 100'000.0 * 499 * 2 * 6.98e9 / (4 * 6e12);
  EXPECT_GT(plans.front().times->generate_s, least_s);
  fast.speed->share = 0.5;
  EXPECT_DOUBLE_EQ(plan_grid(fast, kCluster, plans.front().choice).times->generate_s,
                   2 * plans.front().times->generate_s);
}

}  // namespace
}  // namespace gridmill
