#include <gtest/gtest.h>

#include "gridmill/generate/generator.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"
#include "support/cuda_under_test.hpp"
#include "unit/generate/generator_fixture.hpp"

// A pass like the one before costs the host no allocation on the device and one wait: for its
// tokens.
namespace gridmill {
namespace {

using test::ModelRun;
using test::walk;

class SteadyState : public ::testing::TestWithParam<test::TinyModel> {};

std::string name_of_model(const ::testing::TestParamInfo<test::TinyModel>& each) {
  return each.param.name;
}

TEST_P(SteadyState, WaitsForTokensOnlyAndAllocatesNothing) {
  if (!cuda::kClearsPadding) GTEST_SKIP() << "needs a compiler that can clear padding";
  const auto backend = testing::make_cuda(DType::bf16);
  ModelRun run(GetParam().config, *backend, 1, 8);
  Generator generator(*run.model, run.context, run.parameters, {.slots = 3, .max_length = 128});
  for (RowId row = 0; row < 3; ++row) {
    ASSERT_TRUE(generator.admit(test::request_of(row, walk(50, 300, row), 100)));
  }
  for (int pass = 0; pass < 4; ++pass) static_cast<void>(generator.step());
  // Some of these passes take new pages.
  for (int pass = 0; pass < 25; ++pass) {
    const cuda::emulation::Counts before = cuda::emulation::counts();
    static_cast<void>(generator.step());
    const cuda::emulation::Counts after = cuda::emulation::counts();
    EXPECT_EQ(after.allocations, before.allocations) << "pass " << pass;
    EXPECT_EQ(after.waits, before.waits + 1) << "pass " << pass;
  }
}

TEST_P(SteadyState, IsGraphsAlone) {
  if (!cuda::kClearsPadding) GTEST_SKIP() << "needs a compiler that can clear padding";
  const auto backend = testing::make_cuda(DType::bf16);
  ModelRun run(GetParam().config, *backend, 1, 8);
  Generator generator(*run.model, run.context, run.parameters, {.slots = 3, .max_length = 128});
  for (RowId row = 0; row < 3; ++row) {
    ASSERT_TRUE(generator.admit(test::request_of(row, walk(5, 300, row), 60)));
  }
  // The prompts, and two passes of one token a row: seen, and made a graph.
  for (int pass = 0; pass < 3; ++pass) static_cast<void>(generator.step());
  for (int pass = 0; pass < 20; ++pass) {
    const cuda::emulation::Counts before = cuda::emulation::counts();
    static_cast<void>(generator.step());
    const cuda::emulation::Counts after = cuda::emulation::counts();
    EXPECT_GT(after.graphs, before.graphs) << "pass " << pass;
    EXPECT_EQ(after.submissions - before.submissions, after.graphs - before.graphs)
        << "pass " << pass;
    EXPECT_LE(after.graphs - before.graphs, 3) << "pass " << pass;
  }
}

TEST_P(SteadyState, ANewRowWaitsForNothing) {
  const auto backend = testing::make_cuda(DType::fp32);
  ModelRun run(GetParam().config, *backend, 1, 8);
  Generator generator(*run.model, run.context, run.parameters, {.slots = 2, .max_length = 64});
  ASSERT_TRUE(generator.admit(test::request_of(0, walk(5, 300, 1), 60)));
  static_cast<void>(generator.step());
  const cuda::emulation::Counts before = cuda::emulation::counts();
  ASSERT_TRUE(generator.admit(test::request_of(1, walk(5, 300, 2), 60)));
  const cuda::emulation::Counts after = cuda::emulation::counts();
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.waits, before.waits);
}

INSTANTIATE_TEST_SUITE_P(Models, SteadyState,
                         ::testing::Values(test::TinyModel{"llama", test::llama_config()},
                                           test::TinyModel{"xlstm", test::xlstm_config()}),
                         name_of_model);

}  // namespace
}  // namespace gridmill
