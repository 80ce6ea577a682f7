#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "gridmill/bench/bench.hpp"
#include "gridmill/checkpoint/parameter_footprint.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/plan/planned_model.hpp"

// Memory and traffic of parameters; tests/cli/plan_test.cpp holds them against real runs.
namespace gridmill {
namespace {

class Footprint : public ::testing::Test {
 protected:
  [[nodiscard]] ParameterFootprint of(const ParameterSharing& sharing, int tp = 1,
                                      int shard = 0) const {
    return parameter_footprint(model_.model->parameters(tp, 0), *backend_, sharing, shard);
  }
  [[nodiscard]] ParameterTraffic traffic(const ParameterSharing& sharing,
                                         const std::vector<int>& nodes) const {
    return parameter_traffic(model_.model->parameters(1, 0), model_.stored, *backend_, sharing,
                             nodes);
  }
  std::unique_ptr<Backend> backend_ = make_backend("reference", {.compute_dtype = DType::bf16});
  PlannedModel model_ = planned_model(model_of_shape("llama-1b", {}), DType::bf16, {});
};

TEST_F(Footprint, OfOneShardIsTheWholeModelShared) {
  const ParameterFootprint whole = of({});
  EXPECT_EQ(whole.private_bytes, 0U);
  EXPECT_NEAR(static_cast<double>(whole.shared_bytes), static_cast<double>(model_.stored_bytes()),
              0.001 * static_cast<double>(model_.stored_bytes()));
}

TEST_F(Footprint, OfShardsIsAPartAndTwoLayers) {
  const ParameterFootprint whole = of({});
  const ParameterFootprint shard = of({.fsdp = 4});
  EXPECT_EQ(shard.shared_bytes, 0U);
  const double quarter = static_cast<double>(whole.shared_bytes) / 4;
  // The head is the largest unit: two buffers of it.
  const double buffers = 2.0 * 32000 * 2048 * 2;
  EXPECT_NEAR(static_cast<double>(shard.private_bytes), quarter + buffers, 0.01 * quarter);
  // The embedding is never gathered, the rest comes from three others.
  const double gathered = static_cast<double>(whole.shared_bytes) - 32000.0 * 2048 * 2;
  EXPECT_NEAR(static_cast<double>(shard.gathered_bytes_a_pass), gathered * 3 / 4, 0.01 * gathered);
  EXPECT_EQ(of({.fsdp = 4, .gather_once = true}).shared_bytes, whole.shared_bytes);
}

TEST_F(Footprint, OfTpIsASlice) {
  const double whole = static_cast<double>(of({}).shared_bytes);
  EXPECT_NEAR(static_cast<double>(of({}, 4).shared_bytes), whole / 4, 0.02 * whole);
}

TEST_F(Footprint, ReadsEveryByteOnceANode) {
  const auto stored = static_cast<double>(model_.stored_bytes());
  const auto read = [&](const ParameterSharing& sharing, const std::vector<int>& nodes) {
    return static_cast<double>(traffic(sharing, nodes).bytes_read) / stored;
  };
  EXPECT_NEAR(read({}, {0}), 1, 1e-6);
  EXPECT_NEAR(read({}, {0, 0, 0, 0}), 1, 1e-6) << "ranks of a node divide the work";
  EXPECT_NEAR(read({}, {0, 0, 1, 1}), 2, 1e-6);
  EXPECT_NEAR(read({.fsdp = 2}, {0, 1}), 1, 1e-3) << "each reads its shard";
  EXPECT_NEAR(read({.fsdp = 2}, {0, 0, 1, 1}), 2, 1e-3);
}

TEST_F(Footprint, GatheredOnceShardsTravelBetweenNodes) {
  const ParameterTraffic moved = traffic({.fsdp = 2, .gather_once = true}, {0, 1});
  const auto stored = static_cast<double>(model_.stored_bytes());
  EXPECT_NEAR(static_cast<double>(moved.bytes_read), stored, 0.001 * stored);
  EXPECT_NEAR(static_cast<double>(moved.bytes_received), stored, 0.001 * stored)
      << "each node lacks one half";
  EXPECT_EQ(traffic({.fsdp = 2, .gather_once = true}, {0, 0}).bytes_received, 0U);
}

TEST(PlannedModel, OfCodesIsSmaller) {
  const Json config = model_of_shape("llama-1b", {});
  const auto bf16 = static_cast<double>(planned_model(config, DType::bf16, {}).stored_bytes());
  const double int8 = static_cast<double>(
      planned_model(config, DType::bf16, default_format(WeightCodes::int8)).stored_bytes());
  EXPECT_LT(int8, 0.6 * bf16);
  EXPECT_GT(int8, 0.5 * bf16);
}

}  // namespace
}  // namespace gridmill
