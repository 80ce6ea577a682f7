// generate_tokens on 4 real ranks, with parameters out of the shards of a checkpoint.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/sampling/greedy.hpp"
#include "support/converted_model.hpp"

namespace gridmill {
namespace {

constexpr TokenId kEod = 509;
constexpr std::int64_t kLength = 32;
constexpr std::int64_t kNever = 0;

/// The column at which row `row` of data shard `shard` ends: those of the first shard stop early,
/// their fsdp neighbour's never do. In the seed the neighbour then waits for gathers for ever.
std::int64_t end_of(int shard, std::size_t row) {
  if (shard == 0) return row == 0 ? 20 : 23;
  return shard == 1 ? kNever : 9;
}

/// Greedy, but a row draws the stop token at its end and never before.
TokenSampler ending(int shard) {
  return [shard](TensorView<const float, 2> logits, const StepRandom& random) {
    std::vector<TokenId> next = greedy_sampling(logits);
    for (std::size_t row = 0; row < next.size(); ++row) {
      if (next[row] == kEod) next[row] = 0;
      if (random.positions[row] == static_cast<std::uint32_t>(end_of(shard, row))) {
        next[row] = kEod;
      }
    }
    return next;
  };
}

/// What this rank's rows became.
struct Rows {
  std::vector<TokenId> tokens;
  std::vector<std::uint8_t> valid;
  std::int64_t steps = 0;
};

class GenerateTokensMesh : public ::testing::TestWithParam<const char*> {
 protected:
  Rows generate(const GridShape& grid, bool gather_params_once,
                const std::vector<std::uint8_t>& mask) {
    RunContext context({.model = model_.path(),
                        .grid = grid,
                        .fsdp_min_weight_size = 0,
                        .backend = GetParam(),
                        .threads = 1,
                        .log_level = "error"});
    const GridCoord coord = context.grid().coord();
    GenerateTokensOptions options = context.generate_tokens_options();
    options.max_length = kLength;
    options.eod_token_id = kEod;
    options.gather_params_once = gather_params_once;
    options.token_sample_fn = ending(coord.dp * grid.fsdp + coord.fsdp);
    const std::vector<TokenId> prefix = {1, 403, 407, 1, 426, 338};
    const TensorView<const TokenId, 2> tokens(prefix.data(), {2, 3});
    if (!mask.empty()) options.prefix_mask = TensorView<const std::uint8_t, 2>(mask.data(), {2, 3});
    GeneratedBatch batch =
        generate_tokens(context.generation_state(), PhiloxRandom{}, tokens, std::move(options));
    return {batch.tokens.flat(), batch.valid.flat(), batch.steps};
  }

  test::ConvertedModel model_{GRIDMILL_MODELS_DIR "/stories260K/stories260K.bin",
                              GRIDMILL_MODELS_DIR "/stories260K/tok512.bin"};
};

TEST_P(GenerateTokensMesh, TheRequestThatDeadlocksTheSeedFinishesWithTheSameRowsForBothValues) {
  const GridShape grid{.dp = 2, .fsdp = 2};
  const Rows every = generate(grid, false, {});
  const Rows once = generate(grid, true, {});
  EXPECT_EQ(once.tokens, every.tokens);
  EXPECT_EQ(once.valid, every.valid);
  EXPECT_EQ(once.steps, every.steps);
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  EXPECT_EQ(every.steps, world.rank() < 2 ? kLength - 1 : 9) << "a group leaves together";
  for (std::size_t row = 0; row < 2; ++row) {
    const std::int64_t end = end_of(world.rank(), row);
    for (std::int64_t t = 0; t < kLength; ++t) {
      const auto at = row * static_cast<std::size_t>(kLength) + static_cast<std::size_t>(t);
      EXPECT_EQ(every.valid[at], end == kNever || t <= end ? 1 : 0) << row << " " << t;
    }
  }
}

TEST_P(GenerateTokensMesh, WhatAnEarlyExitKeepsIsDecidedOverTheGroupForBothValues) {
  // Every first token of the first shard is masked: alone it would make no step and return its
  // mask; its neighbour goes on, so all steps run and its rows are invalid.
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  const std::vector<std::uint8_t> mask = world.rank() == 0
                                             ? std::vector<std::uint8_t>{0, 1, 1, 0, 1, 1}
                                             : std::vector<std::uint8_t>{1, 1, 1, 1, 1, 1};
  const Rows every = generate({.dp = 2, .fsdp = 2}, false, mask);
  const Rows once = generate({.dp = 2, .fsdp = 2}, true, mask);
  EXPECT_EQ(once.tokens, every.tokens);
  EXPECT_EQ(once.valid, every.valid);
  if (world.rank() == 0) {
    EXPECT_EQ(every.valid, std::vector<std::uint8_t>(2 * kLength, 0));
  }
}

TEST_P(GenerateTokensMesh, TensorParallelRanksGetTheRowsOfTheirDataShard) {
  const Rows split = generate({.dp = 1, .fsdp = 2, .tp = 2}, false, {});
  const Rows whole = generate({.dp = 2, .fsdp = 2}, false, {});
  const auto world = Communicator::duplicate(MPI_COMM_WORLD);
  // Shards 0 and 1 are ranks 0, 1 there and rank pairs (0, 1), (2, 3) here.
  const std::vector<std::vector<TokenId>> all = [&] {
    std::vector<std::vector<TokenId>> tokens;
    for (int rank = 0; rank < 2; ++rank) {
      std::vector<TokenId> copy = whole.tokens;
      broadcast(world, rank, copy);
      tokens.push_back(std::move(copy));
    }
    return tokens;
  }();
  EXPECT_EQ(split.tokens, all[static_cast<std::size_t>(world.rank() / 2)]);
}

INSTANTIATE_TEST_SUITE_P(Backends, GenerateTokensMesh, ::testing::Values("reference", "cpu"));

}  // namespace
}  // namespace gridmill
