#include <gtest/gtest.h>

#include <memory>
#include <string>

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

/// A generator on the emulated device.
class Running {
 public:
  Running(const Json& config, DType dtype, int slots)
      : backend_(testing::make_cuda(dtype)),
        run_(config, *backend_, 1, 8),
        generator_(*run_.model, run_.context, run_.parameters,
                   {.slots = slots, .max_length = 128}) {}
  [[nodiscard]] bool admit(RowId row, std::size_t prompt, int length) {
    return generator_.admit(test::request_of(row, walk(prompt, 300, row), length));
  }
  void step(int passes) {
    for (int pass = 0; pass < passes; ++pass) static_cast<void>(generator_.step());
  }

 private:
  std::unique_ptr<Backend> backend_;
  ModelRun run_;
  Generator generator_;
};

TEST_P(SteadyState, WaitsForTokensOnlyAndAllocatesNothing) {
  Running running(GetParam().config, DType::bf16, 3);
  for (RowId row = 0; row < 3; ++row) ASSERT_TRUE(running.admit(row, 50, 100));
  running.step(4);
  // Some of these passes take new pages.
  for (int pass = 0; pass < 25; ++pass) {
    const cuda::emulation::Counts before = cuda::emulation::counts();
    running.step(1);
    const cuda::emulation::Counts after = cuda::emulation::counts();
    EXPECT_EQ(after.allocations, before.allocations) << "pass " << pass;
    EXPECT_EQ(after.waits, before.waits + 1) << "pass " << pass;
  }
}

TEST_P(SteadyState, IsGraphsAlone) {
  Running running(GetParam().config, DType::bf16, 3);
  for (RowId row = 0; row < 3; ++row) ASSERT_TRUE(running.admit(row, 5, 60));
  running.step(3);  // the prompts, and two passes of one token a row: seen, and made a graph
  for (int pass = 0; pass < 20; ++pass) {
    const cuda::emulation::Counts before = cuda::emulation::counts();
    running.step(1);
    const cuda::emulation::Counts after = cuda::emulation::counts();
    EXPECT_GT(after.graphs, before.graphs) << "pass " << pass;
    EXPECT_EQ(after.submissions - before.submissions, after.graphs - before.graphs)
        << "pass " << pass;
    EXPECT_LE(after.graphs - before.graphs, 3) << "pass " << pass;
  }
}

TEST_P(SteadyState, ANewRowWaitsForNothing) {
  Running running(GetParam().config, DType::fp32, 2);
  ASSERT_TRUE(running.admit(0, 5, 60));
  running.step(1);
  const cuda::emulation::Counts before = cuda::emulation::counts();
  ASSERT_TRUE(running.admit(1, 5, 60));
  const cuda::emulation::Counts after = cuda::emulation::counts();
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.waits, before.waits);
}

INSTANTIATE_TEST_SUITE_P(Models, SteadyState,
                         ::testing::Values(test::TinyModel{"llama", test::llama_config()},
                                           test::TinyModel{"xlstm", test::xlstm_config()},
                                           test::TinyModel{"bare", test::xlstm_bare_config()}),
                         name_of_model);

}  // namespace
}  // namespace gridmill
