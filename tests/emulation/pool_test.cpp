#include <gtest/gtest.h>

#include "support/cuda_under_test.hpp"
#include "unit/generate/pool_fixture.hpp"

// Rows of all lengths through a KV cache whose pool is far smaller than slots times length. The
// cache itself fails when a row grows into a page that is not there.
namespace gridmill {
namespace {

using test::kPage;
using test::walk;

constexpr std::int64_t kLongest = 3 * kPage;

/// Few tokens, since an emulation is slow: the first two rows grow from their first page into their
/// third one, side by side.
std::vector<Request> requests_of_all_kinds() {
  std::vector<Request> requests;
  for (RowId row = 0; row < 5; ++row) {
    const bool grows = row < 2;
    const auto prompt = static_cast<std::int64_t>(grows ? 61 + row : 40 * (row - 1));
    requests.push_back(test::request_of(row, walk(static_cast<std::size_t>(prompt), 300, row),
                                        grows ? 136 : prompt + 12));
    requests.back().sampling.temperature = row % 2 == 0 ? 0.0F : 1.0F;
    requests.back().logprobs = row % 3 == 1;
  }
  return requests;
}

Json one_layer() {
  Json config = test::pool_config();
  config["layers"] = 1;
  return config;
}

class PoolOfPages : public ::testing::TestWithParam<DType> {
 protected:
  std::map<RowId, Completion> generate(std::int64_t pool_positions,
                                       const std::vector<Request>& requests) {
    Generator generator(*run_.model, run_.context, run_.parameters,
                        {.slots = 4, .max_length = kLongest, .pool_positions = pool_positions});
    std::map<RowId, Completion> rows = test::run_claims(generator, requests);
    preempted_ = generator.statistics().preempted_rows;
    return rows;
  }
  std::unique_ptr<Backend> backend_ = testing::make_cuda(GetParam());
  test::ModelRun run_{one_layer(), *backend_, 1, 8};
  std::int64_t preempted_ = 0;
};

TEST_P(PoolOfPages, GivesTheRowsOfSlotsWithRoomOfTheirOwn) {
  std::vector<Request> requests = requests_of_all_kinds();
  const auto expected = generate(0, requests);
  EXPECT_EQ(preempted_, 0);
  test::expect_same_rows(generate(4 * kPage, requests), expected);
  EXPECT_GT(preempted_, 0);
  test::give_replays(requests, expected);
  test::expect_same_rows(generate(4 * kPage, requests), expected);
}

INSTANTIATE_TEST_SUITE_P(Types, PoolOfPages, ::testing::Values(DType::fp32, DType::bf16),
                         [](const ::testing::TestParamInfo<DType>& each) {
                           return std::string(name_of(each.param));
                         });

}  // namespace
}  // namespace gridmill
