#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "kernels/cuda/kv_cache.hpp"
#include "support/cuda_emulation/emulated_cuda.hpp"

namespace gridmill::cuda {
namespace {

class KvPagesOfSlots : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_emulated_cuda(DType::bf16);
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

}  // namespace
}  // namespace gridmill::cuda
