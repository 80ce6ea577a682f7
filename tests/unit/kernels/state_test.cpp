#include <gtest/gtest.h>

#include <optional>

#include "gridmill/base/error.hpp"
#include "unit/kernels/candidates.hpp"
#include "unit/kernels/test_device.hpp"

// Canonical form of per-slot state (kernels/state.hpp), on every backend.
namespace gridmill::testing {
namespace {

class State : public ::testing::TestWithParam<Candidate> {
 protected:
  void SetUp() override {
    try {
      backend_ = make_candidate(GetParam());
    } catch (const ResourceError& error) {
      GTEST_SKIP() << "needs " << label(GetParam()) << ": " << error.what();
    }
  }
  [[nodiscard]] std::unique_ptr<KvCache> kv_cache() const {
    return backend_->make_kv_cache(
        {.layers = 2, .kv_heads = 3, .head_dim = 4, .slots = 3, .max_length = 70});
  }
  [[nodiscard]] std::unique_ptr<MlstmState> mlstm_state() const {
    return backend_->make_mlstm_state(
        {.layers = 2, .heads = 3, .qk_dim = 5, .v_dim = 7, .slots = 3});
  }
  /// Distinct numbers that bf16 holds exactly.
  [[nodiscard]] static std::vector<float> numbers(std::size_t size, float scale) {
    std::vector<float> values(size);
    for (std::size_t i = 0; i < size; ++i) {
      values[i] = scale * (1.0F + static_cast<float>(i % 128) / 128.0F);
    }
    return values;
  }
  static std::vector<float> saved(SequenceState& state, SlotId slot, std::int64_t length) {
    std::vector<float> values(state.saved_floats(length));
    state.save(slot, length, values);
    return values;
  }

  std::unique_ptr<Backend> backend_;
};

TEST_P(State, SizesAreThoseOfTheCanonicalForm) {
  EXPECT_EQ(kv_cache()->saved_floats(0), 0U);
  EXPECT_EQ(kv_cache()->saved_floats(5), 2U * 2 * 5 * 3 * 4);
  EXPECT_EQ(mlstm_state()->saved_floats(0), 2U * 3 * (5 * 7 + 5 + 1));
  EXPECT_EQ(mlstm_state()->saved_floats(9), 2U * 3 * (5 * 7 + 5 + 1));
}

TEST_P(State, WhatIsLoadedIsSavedInItsOwnSlot) {
  const auto cache = kv_cache();
  const auto state = mlstm_state();
  for (SlotId slot = 0; slot < 3; ++slot) {
    const std::int64_t length = 1 + 30 * slot;
    cache->load(slot, length, numbers(cache->saved_floats(length), static_cast<float>(1 << slot)));
    state->load(slot, length, numbers(state->saved_floats(length), static_cast<float>(1 << slot)));
  }
  for (SlotId slot = 0; slot < 3; ++slot) {
    const std::int64_t length = 1 + 30 * slot;
    const float scale = static_cast<float>(1 << slot);
    EXPECT_EQ(saved(*cache, slot, length), numbers(cache->saved_floats(length), scale));
    EXPECT_EQ(saved(*state, slot, length), numbers(state->saved_floats(length), scale));
  }
}

TEST_P(State, AStateIsZeroAtTheStartAndAfterAReset) {
  const auto state = mlstm_state();
  const std::size_t size = state->saved_floats(0);
  EXPECT_EQ(saved(*state, 1, 0), std::vector<float>(size, 0.0F));
  for (SlotId slot = 0; slot < 3; ++slot) state->load(slot, 4, numbers(size, 1.0F));
  state->reset(1);
  EXPECT_EQ(saved(*state, 1, 4), std::vector<float>(size, 0.0F));
  EXPECT_EQ(saved(*state, 0, 4), numbers(size, 1.0F));
  EXPECT_EQ(saved(*state, 2, 4), numbers(size, 1.0F));
}

TEST_P(State, AKvCacheForgetsNothingOfItsNeighboursWhenASlotIsReset) {
  const auto cache = kv_cache();
  const std::size_t size = cache->saved_floats(70);
  for (SlotId slot = 0; slot < 3; ++slot) cache->load(slot, 70, numbers(size, 1.0F));
  cache->reset(1);
  cache->load(1, 3, numbers(cache->saved_floats(3), 2.0F));
  EXPECT_EQ(saved(*cache, 0, 70), numbers(size, 1.0F));
  EXPECT_EQ(saved(*cache, 1, 3), numbers(cache->saved_floats(3), 2.0F));
  EXPECT_EQ(saved(*cache, 2, 70), numbers(size, 1.0F));
}

TEST_P(State, AForkHoldsWhatItsSourceHeldAndNothingThatFollows) {
  for (const std::int64_t length : {0, 1, 63, 64, 65, 70}) {
    const auto cache = kv_cache();
    const auto state = mlstm_state();
    const std::vector<float> keys = numbers(cache->saved_floats(length), 1.0F);
    const std::vector<float> mlstm = numbers(state->saved_floats(length), 1.0F);
    cache->load(0, length, keys);
    state->load(0, length, mlstm);
    cache->load(2, 70, numbers(cache->saved_floats(70), 4.0F));
    state->load(2, 70, numbers(state->saved_floats(70), 4.0F));
    cache->fork(0, 2, length);
    state->fork(0, 2, length);
    EXPECT_EQ(saved(*cache, 2, length), keys) << length;
    EXPECT_EQ(saved(*state, 2, length), mlstm) << length;
    cache->reset(0);
    state->reset(0);
    cache->load(1, 70, numbers(cache->saved_floats(70), 2.0F));
    EXPECT_EQ(saved(*cache, 2, length), keys) << length;
    EXPECT_EQ(saved(*state, 2, length), mlstm) << length;
    cache->load(2, 3, numbers(cache->saved_floats(3), 8.0F));
    EXPECT_EQ(saved(*cache, 1, 70), numbers(cache->saved_floats(70), 2.0F));
  }
}

TEST_P(State, AKvCacheForksAtAnyPositionItHolds) {
  const auto cache = kv_cache();
  cache->load(0, 70, numbers(cache->saved_floats(70), 1.0F));
  const std::vector<float> all = saved(*cache, 0, 70);
  constexpr std::size_t kWidth = 3 * 4;
  for (const std::int64_t length : {1, 20, 64, 69}) {
    cache->fork(0, 1, length);
    std::vector<float> expected;
    for (std::size_t part = 0; part < 2U * 2; ++part) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(part * 70 * kWidth);
      expected.insert(expected.end(), first, first + length * static_cast<std::ptrdiff_t>(kWidth));
    }
    EXPECT_EQ(saved(*cache, 1, length), expected) << length;
  }
}

TEST_P(State, ASlotIsNotForkedOntoItself) {
  const auto cache = kv_cache();
  const auto state = mlstm_state();
  const std::vector<float> keys = numbers(cache->saved_floats(70), 1.0F);
  const std::vector<float> mlstm = numbers(state->saved_floats(70), 1.0F);
  cache->load(1, 70, keys);
  state->load(1, 70, mlstm);
  for (const std::int64_t length : {0, 20, 64, 70}) {
    EXPECT_THROW(cache->fork(1, 1, length), InternalError) << length;
    EXPECT_THROW(state->fork(1, 1, length), InternalError) << length;
  }
  EXPECT_EQ(saved(*cache, 1, 70), keys);
  EXPECT_EQ(saved(*state, 1, 70), mlstm);
}

TEST_P(State, AWrongSizeIsRefused) {
  const auto cache = kv_cache();
  const auto state = mlstm_state();
  std::vector<float> values(3);
  EXPECT_THROW(cache->save(0, 1, values), InternalError);
  EXPECT_THROW(cache->load(0, 1, values), InternalError);
  EXPECT_THROW(state->save(0, 1, values), InternalError);
  EXPECT_THROW(state->load(0, 1, values), InternalError);
}

INSTANTIATE_TEST_SUITE_P(Backends, State, ::testing::ValuesIn(all_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
