// Recorded runs of xlstm-jax on 4 real ranks, parameters out of the shards of a checkpoint.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "golden/recording.hpp"
#include "gridmill/job/run_context.hpp"
#include "support/converted_model.hpp"

namespace gridmill {
namespace {

using test::Recording;

/// This rank's part of a recorded result equals its part of `batch`.
void expect_recorded(const Recording& run, const GeneratedBatch& batch, int shard) {
  const auto size = static_cast<std::ptrdiff_t>(batch.tokens.flat().size());
  EXPECT_EQ(batch.tokens.flat(), std::vector<TokenId>(run.tokens.begin() + size * shard,
                                                      run.tokens.begin() + size * (shard + 1)));
  EXPECT_EQ(batch.valid.flat(), std::vector<std::uint8_t>(run.valid.begin() + size * shard,
                                                          run.valid.begin() + size * (shard + 1)));
}

void replay(const Recording& run, RunContext& context, bool gather_params_once) {
  GenerateTokensOptions options = context.generate_tokens_options();
  const int shards = options.grid.dp * options.grid.fsdp;
  const int shard = options.coord.dp * options.grid.fsdp + options.coord.fsdp;
  options.max_length = run.max_length;
  options.eod_token_id = run.eod_token_id;
  options.token_sample_fn = temperature_sampler(run.temperature);
  options.gather_params_once = gather_params_once;
  options.param_dtype = run.param_dtype;
  if (run.mask) options.prefix_mask = test::shard_of(*run.mask, shard, shards);
  const GeneratedBatch batch =
      generate_tokens(context.generation_state(), JaxRandom{jax_key(run.seed)},
                      test::shard_of(run.prefix, shard, shards), std::move(options));
  expect_recorded(run, batch, shard);
}

/// A file of recorded runs, those of them that run on several devices or on one, and where.
struct Case {
  std::string model;
  bool mesh = false;
  std::size_t runs = 0;
  std::string backend;
  GridShape grid = {};
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.model; }

class XlstmJaxMesh : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (std::string(GRIDMILL_GOLDEN_DIR).empty()) {
      GTEST_SKIP() << "needs the full golden data: set GRIDMILL_GOLDEN_DIR";
    }
    const std::string path =
        std::string(GRIDMILL_GOLDEN_DIR) + "/xlstm-jax/" + GetParam().model + ".h5";
    model_ = std::make_unique<test::ConvertedModel>(path);
    for (Recording& run : test::read_recordings(path)) {
      if (is_wanted(run)) runs_.push_back(std::move(run));
    }
    ASSERT_EQ(runs_.size(), GetParam().runs);
  }
  /// What was drawn on one device is drawn by one data shard only; rows must divide among shards.
  static bool is_wanted(const Recording& run) {
    if (GetParam().mesh || run.grid.ranks() > 1) return GetParam().mesh && run.grid.ranks() > 1;
    const int shards = GetParam().grid.dp * GetParam().grid.fsdp;
    return shards == 1 || (run.temperature == 0 && run.prefix.extent(0) % shards == 0);
  }
  RunContext context_on(const GridShape& grid, std::int64_t min_weight_size) const {
    return RunContext({.model = model_->path(),
                       .grid = grid,
                       .fsdp_min_weight_size = min_weight_size,
                       .compute_dtype = "fp32",
                       .backend = GetParam().backend,
                       .threads = 1,
                       .log_level = "error"});
  }

  std::unique_ptr<test::ConvertedModel> model_;
  std::vector<Recording> runs_;
};

/// The smallest size that is split, as the run's name says: mesh_dp2_fsdp2_min256_every_greedy.
std::int64_t min_weight_size(const Recording& run) {
  const std::size_t begin = run.name.find("_min") + 4;
  return std::stoll(run.name.substr(begin, run.name.find('_', begin) - begin));
}

TEST_P(XlstmJaxMesh, EveryRecordedMeshRunGivesItsRowsForBothValuesOfGatherParamsOnce) {
  for (const Recording& run : runs_) {
    SCOPED_TRACE(run.name);
    RunContext context = context_on(run.grid, min_weight_size(run));
    replay(run, context, false);
    replay(run, context, true);
  }
}

class XlstmJaxTensorParallel : public XlstmJaxMesh {};

TEST_P(XlstmJaxTensorParallel, RunsOfOneDeviceGiveTheirRows) {
  RunContext context = context_on(GetParam().grid, 0);
  for (const Recording& run : runs_) {
    SCOPED_TRACE(run.name);
    replay(run, context, false);
  }
}

std::string case_name(const ::testing::TestParamInfo<Case>& each) {
  return each.param.model + "_" + each.param.backend;
}

INSTANTIATE_TEST_SUITE_P(Models, XlstmJaxMesh,
                         ::testing::Values(Case{"xlstm_v1_scan", true, 20, "reference"},
                                           Case{"xlstm_v1_scan", true, 20, "cpu"},
                                           Case{"llama_scan", true, 5, "reference"},
                                           Case{"llama_scan", true, 5, "cpu"}),
                         case_name);
INSTANTIATE_TEST_SUITE_P(
    Models, XlstmJaxTensorParallel,
    ::testing::Values(Case{"xlstm_v1_scan", false, 25, "reference", {.tp = 4}},
                      Case{"xlstm_v1_scan", false, 25, "cpu", {.tp = 4}},
                      Case{"xlstm_v1_blocks", false, 16, "cpu", {.fsdp = 2, .tp = 2}},
                      Case{"llama_scan", false, 23, "cpu", {.tp = 4}},
                      Case{"llama_blocks", false, 16, "cpu", {.fsdp = 2, .tp = 2}}),
    case_name);

}  // namespace
}  // namespace gridmill
