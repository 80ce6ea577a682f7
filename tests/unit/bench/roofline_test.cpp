#include "gridmill/bench/roofline.hpp"

#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "gridmill/bench/bench.hpp"

namespace gridmill::bench_detail {
namespace {

// Llama 110M: 12 layers of 4 D D + 3 D F, a tied head of V D.
constexpr double kLayers = 12.0 * (4.0 * 768 * 768 + 3.0 * 768 * 2048);
constexpr double kHead = 32000.0 * 768;

const MachineLimits kLimits{.read_bytes_per_s = 40e9,
                            .update_bytes_per_s = 60e9,
                            .bf16_flop_per_s = 500e9,
                            .fp32_flop_per_s = 250e9};

TEST(PassCost, OfLlamaCountsEveryMatrixOnceAndTheCacheOfEveryToken) {
  const PassCost cost = pass_cost(*make_model(model_of_shape("llama-110m", {})), DType::bf16);
  EXPECT_EQ(cost.weight_bytes, 2 * (kLayers + kHead));
  EXPECT_EQ(cost.flop_of_row, 2 * (kLayers + kHead));
  EXPECT_EQ(cost.flop_of_inner_row, 2 * kLayers);
  EXPECT_EQ(cost.cache_bytes_of_token, 2.0 * 2 * 12 * 768);
  EXPECT_EQ(cost.state_bytes_of_row, 0);
}

TEST(PassCost, OfXlstmReadsAndWritesTheStateInFp32) {
  const PassCost cost = pass_cost(*make_model(model_of_shape("xlstm-500m", {})), DType::bf16);
  // C, n and m of 4 heads in 12 layers.
  EXPECT_EQ(cost.state_bytes_of_row, 2.0 * 4 * 12 * 4 * (192 * 384 + 192 + 1));
  EXPECT_EQ(cost.cache_bytes_of_token, 0);
}

TEST(DecodeBound, IsMemoryForFewRowsAndProductsForMany) {
  const PassCost cost = pass_cost(*make_model(model_of_shape("llama-110m", {})), DType::bf16);
  EXPECT_DOUBLE_EQ(decode_bound(cost, kLimits, DType::bf16, 1, 96).seconds(),
                   (2 * (kLayers + kHead) + 96 * 2.0 * 2 * 12 * 768) / 40e9);
  EXPECT_DOUBLE_EQ(decode_bound(cost, kLimits, DType::bf16, 64, 96).seconds(),
                   64 * 2 * (kLayers + kHead) / 500e9);
}

TEST(PassBound, AddsPromptsAndDecodedRows) {
  const PassCost cost = pass_cost(*make_model(model_of_shape("llama-110m", {})), DType::bf16);
  const DecodeBound bound = pass_bound(cost, kLimits, DType::bf16,
                                       {.tokens = 510, .drawn = 11, .rows = 12, .context = 900});
  EXPECT_DOUBLE_EQ(bound.multiplying_s, (510 * 2 * kLayers + 11 * 2 * kHead) / 500e9);
  EXPECT_DOUBLE_EQ(bound.moving_s, (2 * (kLayers + kHead) + 900 * 2.0 * 2 * 12 * 768) / 40e9);
}

TEST(MachineLimits, AreReadAsTheyAreWritten) {
  const Json fields = Json::parse(to_json(kLimits).dump());
  const MachineLimits read = limits_from_json(fields, "x");
  EXPECT_EQ(read.read_bytes_per_s, kLimits.read_bytes_per_s);
  EXPECT_EQ(read.fp32_flop_per_s, kLimits.fp32_flop_per_s);
  EXPECT_EQ(read.int8_op_per_s, 0);
  EXPECT_THROW(static_cast<void>(limits_from_json({{"read_gb_per_s", "fast"}}, "x")), FormatError);
  EXPECT_THROW(static_cast<void>(limits_from_json({{"read_gb_per_s", -1}}, "x")), FormatError);
}

TEST(PrefillBound, SendsOneTokenOfAPromptThroughTheHead) {
  const PassCost cost = pass_cost(*make_model(model_of_shape("llama-110m", {})), DType::fp32);
  EXPECT_DOUBLE_EQ(prefill_bound_s(cost, kLimits, DType::fp32, 64),
                   (64 * 2 * kLayers + 2 * kHead) / 250e9);
}

/// What a device holds for so many rows of `positions` tokens: weights, with the embedding, and
/// states.
double gigabytes(const std::string& shape, double embedding_ids, int rows, std::int64_t positions) {
  const auto model = make_model(model_of_shape(shape, {}));
  const double embedding = 2 * embedding_ids * 4096;
  const auto state = static_cast<double>(model->state_bytes_per_slot(1, positions, DType::bf16));
  return (pass_cost(*model, DType::bf16).weight_bytes + embedding + rows * state) / 1e9;
}

TEST(DeviceMemory, Of80GbHoldsEveryFigureThatIsMeasuredOnADevice) {
  // tests/gpu/run.sh; passes of 2,048 rows, caches of libraries and the limits' loops take some GB
  // more.
  constexpr double kMost = 70;
  EXPECT_LT(gigabytes("xlstm-7b", 50304, 256, 256 + 64), kMost);
  EXPECT_LT(gigabytes("llama-8b", 128256, 256, 256 + 64), kMost);
  EXPECT_LT(gigabytes("llama-8b", 128256, 64, 1024 + 64), kMost);
  EXPECT_LT(gigabytes("llama-8b", 128256, 8, 2048 + 2), kMost);
  // What it comes to, so that a change of the accounting shows.
  EXPECT_NEAR(gigabytes("xlstm-7b", 50304, 256, 256 + 64), 48.2, 0.5);
  EXPECT_NEAR(gigabytes("llama-8b", 128256, 256, 256 + 64), 26.8, 0.5);
}

}  // namespace
}  // namespace gridmill::bench_detail
