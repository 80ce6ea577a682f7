#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "kernels/cuda/kv_cache.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"
#include "support/cuda_under_test.hpp"

namespace gridmill::cuda {
namespace {

class KvPagesOfSlots : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_cuda(DType::bf16);
  std::unique_ptr<KvCache> cache_ = backend_->make_kv_cache(
      {.layers = 2, .kv_heads = 3, .head_dim = 4, .slots = 3, .max_length = 200});
  CudaKvCache& pages_ = dynamic_cast<CudaKvCache&>(*cache_);
};

TEST_F(KvPagesOfSlots, AShortSequenceTakesOnlyItsPages) {
  EXPECT_EQ(pages_.free_pages(), 3U * 4);
  pages_.grow(0, 1);
  EXPECT_EQ(pages_.free_pages(), 11U);
  pages_.grow(0, 64);
  EXPECT_EQ(pages_.free_pages(), 11U);
  pages_.grow(0, 65);
  EXPECT_EQ(pages_.free_pages(), 10U);
}

TEST_F(KvPagesOfSlots, AResetGivesThemBack) {
  pages_.grow(1, 200);
  pages_.grow(2, 70);
  pages_.reset(1);
  EXPECT_EQ(pages_.free_pages(), 10U);
}

TEST_F(KvPagesOfSlots, EverySlotCanReachTheLongestLength) {
  for (SlotId slot = 0; slot < 3; ++slot) pages_.grow(slot, 200);
  EXPECT_EQ(pages_.free_pages(), 0U);
  EXPECT_THROW(pages_.grow(0, 201), InternalError);
}

TEST_F(KvPagesOfSlots, APoolHasThePagesItWasGiven) {
  const auto cache = backend_->make_kv_cache({.layers = 2,
                                              .kv_heads = 3,
                                              .head_dim = 4,
                                              .slots = 3,
                                              .max_length = 200,
                                              .pool_positions = 5 * kKvPagePositions});
  auto& pool = dynamic_cast<CudaKvCache&>(*cache);
  EXPECT_EQ(pool.free_pages(), 5U);
  pool.grow(0, 200);
  pool.grow(1, 10);
  EXPECT_THROW(pool.grow(2, 1), InternalError) << "who feeds rows counts pages";
  pool.reset(0);
  pool.grow(2, 200);
  EXPECT_EQ(pool.free_pages(), 0U);
}

TEST_F(KvPagesOfSlots, AStateBudgetIsWhatTheDeviceHasLeft) {
  constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
  emulation::set_device_memory(8 * kGiB);
  const StateBudget before = backend_->state_budget(1, kGiB);
  EXPECT_TRUE(before.known);
  EXPECT_TRUE(before.pooled);
  EXPECT_GT(before.bytes, 6 * kGiB);
  EXPECT_LT(before.bytes, 7 * kGiB) << "the workspace stays free";
  const Buffer parameters = backend_->allocate(3 * kGiB / 16);
  EXPECT_LE(backend_->state_budget(1, kGiB).bytes, before.bytes - 3 * kGiB / 16);
  EXPECT_LT(backend_->state_budget(2, kGiB).bytes, 3 * kGiB) << "two processes share it";
  EXPECT_EQ(backend_->state_budget(1, 9 * kGiB).bytes, 0U);
}

}  // namespace
}  // namespace gridmill::cuda
