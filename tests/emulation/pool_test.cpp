#include <gtest/gtest.h>

#include "gridmill/generate/generator.hpp"
#include "support/cuda_under_test.hpp"
#include "unit/generate/generator_fixture.hpp"

// Rows of all lengths through a KV cache whose pool is far smaller than slots times length.
namespace gridmill {
namespace {

using test::ModelRun;
using test::walk;

std::map<RowId, Completion> generated(int slots, std::int64_t pool_positions) {
  const auto backend = testing::make_cuda(DType::fp32);
  ModelRun run(test::llama_config(), *backend, 1, 8);
  std::vector<Request> requests;
  for (RowId row = 0; row < 7; ++row) {
    const auto length = static_cast<std::int64_t>(row % 3 == 0 ? 75 : 6 + row);
    requests.push_back(test::request_of(row, walk(row == 3 ? 66 : 3, 300, row), length));
  }
  Generator generator(*run.model, run.context, run.parameters,
                      {.slots = slots, .max_length = 128, .pool_positions = pool_positions});
  return test::run_all(generator, requests);
}

TEST(PoolOfPages, GivesTheRowsOfSlotsWithRoomOfTheirOwn) {
  const std::map<RowId, Completion> expected = generated(1, 0);
  // Three pages for four slots of two pages each.
  const std::map<RowId, Completion> found = generated(4, 3 * kKvPagePositions);
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [row, completion] : expected) {
    EXPECT_EQ(found.at(row).tokens, completion.tokens) << row;
  }
}

}  // namespace
}  // namespace gridmill
