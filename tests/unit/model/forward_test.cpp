#include <gtest/gtest.h>

#include <cmath>

#include "gridmill/base/numerics.hpp"
#include "support/model_run.hpp"
#include "support/null_device/null_device.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

using test::ModelRun;
using test::walk;

constexpr std::int64_t kLongest = 100;

std::unique_ptr<Backend> reference(DType dtype) {
  return make_backend("reference", {.compute_dtype = dtype});
}

struct Case {
  test::TinyModel tiny;
  DType dtype = DType::fp32;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.tiny.name; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const test::TinyModel& tiny : test::tiny_models()) {
    all.push_back({tiny, DType::fp32});
    all.push_back({tiny, DType::bf16});
  }
  return all;
}

class ModelForward : public ::testing::TestWithParam<Case> {
 protected:
  ModelForward() : backend_(reference(GetParam().dtype)) {}
  [[nodiscard]] ModelRun run(int slots) {
    return {GetParam().tiny.config, *backend_, slots, kLongest};
  }
  std::unique_ptr<Backend> backend_;
};

TEST_P(ModelForward, GivesTheSameBitsHoweverAPromptIsCut) {
  const std::vector<TokenId> tokens = walk(70, 300, 1);
  ModelRun whole = run(1);
  const Tensor<float, 2> expected = whole.feed(0, tokens);
  for (const std::size_t piece : {1U, 5U, 64U}) {
    ModelRun cut = run(1);
    EXPECT_EQ(cut.feed_in_pieces(0, tokens, piece).flat(), expected.flat()) << piece;
  }
}

TEST_P(ModelForward, LogitsAreFiniteAndDependOnTheText) {
  ModelRun model = run(2);
  const Tensor<float, 2> first = model.feed(0, walk(9, 300, 1));
  const Tensor<float, 2> second = model.feed(1, walk(9, 300, 2));
  for (const float logit : first.flat()) ASSERT_TRUE(std::isfinite(logit));
  EXPECT_NE(first.flat(), second.flat());
}

TEST_P(ModelForward, NeighboursInTheBatchDoNotChangeARow) {
  const std::vector<TokenId> tokens = walk(20, 300, 3);
  ModelRun alone = run(1);
  const Tensor<float, 2> expected = alone.feed(0, tokens);

  ModelRun crowd = run(4);
  const std::vector<TokenId> other = walk(33, 300, 4);
  const std::span<const TokenId> all(tokens);
  // Slot 2 gets the row in two passes, beside a long prompt, a decode row and an idle slot.
  const RowSpan first[] = {{.slot = 3, .tokens = other, .want = LogitsWanted::none},
                           {.slot = 2, .tokens = all.first(12), .want = LogitsWanted::all}};
  const Tensor<float, 2> head = crowd.feed(first);
  const RowSpan second[] = {
      {.slot = 2, .position = 12, .tokens = all.subspan(12), .want = LogitsWanted::all},
      {.slot = 0, .tokens = std::span(other).first(1), .want = LogitsWanted::none},
      {.slot = 3, .position = 33, .tokens = std::span(other).first(1), .want = LogitsWanted::none}};
  const Tensor<float, 2> tail = crowd.feed(second);
  std::vector<float> joined = head.flat();
  joined.insert(joined.end(), tail.flat().begin(), tail.flat().end());
  EXPECT_EQ(joined, expected.flat());
  EXPECT_EQ(crowd.state->position(2), 20);
  EXPECT_EQ(crowd.state->position(1), 0);
  EXPECT_EQ(crowd.state->position(3), 34);
}

TEST_P(ModelForward, AResetSlotIsAnEmptySequence) {
  const std::vector<TokenId> tokens = walk(15, 300, 5);
  ModelRun fresh = run(1);
  const Tensor<float, 2> expected = fresh.feed(0, tokens);
  ModelRun used = run(1);
  used.feed(0, walk(40, 300, 6));
  used.state->reset(0);
  EXPECT_EQ(used.state->position(0), 0);
  EXPECT_EQ(used.feed(0, tokens).flat(), expected.flat());
}

TEST_P(ModelForward, ASavedSlotGoesOnInAnotherOne) {
  const std::vector<TokenId> tokens = walk(30, 300, 7);
  const std::span<const TokenId> all(tokens);
  ModelRun model = run(3);
  model.feed(0, all.first(21));
  model.feed(2, walk(5, 300, 8));
  model.state->load(2, 21, model.state->save(0));
  EXPECT_EQ(model.feed(2, all.subspan(21)).flat(), model.feed(0, all.subspan(21)).flat());
}

TEST_P(ModelForward, WantedRowsAloneGoThroughTheHead) {
  const std::vector<TokenId> tokens = walk(10, 300, 9);
  ModelRun all = run(1);
  const Tensor<float, 2> expected = all.feed(0, tokens);
  ModelRun last = run(2);
  const RowSpan spans[] = {{.slot = 1, .tokens = tokens, .want = LogitsWanted::none},
                           {.slot = 0, .tokens = tokens, .want = LogitsWanted::last}};
  const Tensor<float, 2> found = last.feed(spans);
  ASSERT_EQ(found.extent(0), 1);
  const std::span<const float> row = expected.view().row(9);
  EXPECT_EQ(found.flat(), std::vector<float>(row.begin(), row.end()));
}

TEST_P(ModelForward, ChoicesAreTheArgmaxOfTheLogits) {
  const std::vector<TokenId> tokens = walk(12, 300, 10);
  ModelRun model = run(2);
  const Tensor<float, 2> logits = model.feed(0, tokens);
  const RowSpan span{.slot = 1, .tokens = tokens, .want = LogitsWanted::all};
  const std::vector<SelectRow> rows(12, {.plan = {.temperature = 0, .key = {}}, .target = 7});
  std::vector<Choice> choices;
  model.model->forward(model.context, std::span(&span, 1), *model.state, model.parameters,
                       {.rows = rows, .choices = &choices});
  ASSERT_EQ(choices.size(), 12U);
  for (std::size_t i = 0; i < 12; ++i) {
    const std::span<const float> row = logits.view().row(static_cast<std::int64_t>(i));
    const auto best = std::max_element(row.begin(), row.end());
    EXPECT_EQ(choices[i].id, best - row.begin());
    double sum = 0;
    for (const float logit : row) sum += std::exp(static_cast<double>(logit));
    // fp32 log-sum-exp of 300 terms: a few ulp of a value below 32.
    EXPECT_NEAR(choices[i].logprob, *best - std::log(sum), 1e-5);
    EXPECT_NEAR(choices[i].target_logprob, row[7] - std::log(sum), 1e-5);
  }
}

TEST_P(ModelForward, RunsOnADeviceThatTheHostCannotReach) {
  const std::vector<TokenId> tokens = walk(25, 300, 11);
  ModelRun expected = run(1);
  const auto device = testing::make_null_device(GetParam().dtype);
  ModelRun found(GetParam().tiny.config, *device, 1, kLongest);
  EXPECT_EQ(found.feed_in_pieces(0, tokens, 10).flat(), expected.feed(0, tokens).flat());
}

/// All but the embedding, whose rows are looked up: positions, layers, head.
std::vector<UnitId> gathered_units(const Model& model) {
  const ModelParameters parameters = model.parameters(1, 0);
  std::vector<UnitId> units;
  for (std::size_t i = 0; i < parameters.units.size(); ++i) {
    if (parameters.units[i].name != "embedding") units.push_back(static_cast<UnitId>(i));
  }
  return units;
}

TEST_P(ModelForward, UnitsAreUsedInOrderAndTheNextIsFetchedAhead) {
  ModelRun model = run(1);
  const std::vector<UnitId> order = gathered_units(*model.model);
  model.parameters.forget();
  model.feed(0, walk(3, 300, 12));
  EXPECT_EQ(model.parameters.prefetched(), order);
  EXPECT_EQ(model.parameters.acquired(), order);
}

TEST_P(ModelForward, APassWithoutSpansStillTakesPartInEveryGather) {
  ModelRun model = run(1);
  model.parameters.forget();
  model.model->forward(model.context, {}, *model.state, model.parameters, {});
  EXPECT_EQ(model.parameters.acquired(), gathered_units(*model.model));
  EXPECT_EQ(model.parameters.embeds(), 1);
}

INSTANTIATE_TEST_SUITE_P(Models, ModelForward, ::testing::ValuesIn(cases()),
                         [](const ::testing::TestParamInfo<Case>& each) {
                           return each.param.tiny.name + "_" +
                                  std::string(name_of(each.param.dtype));
                         });

/// Logits of a text and, with `choices`, the most likely tokens, with these numbers.
Tensor<float, 2> logits_of(const Json& config, Backend& backend, const test::Tensors& tensors,
                           std::vector<Choice>* choices = nullptr) {
  ModelRun run(config, backend, 1, kLongest);
  test::MemoryParameters parameters(backend, *run.model, tensors);
  const std::vector<TokenId> tokens = walk(12, 300, 18);
  const RowSpan span{.slot = 0, .tokens = tokens, .want = LogitsWanted::all};
  const std::vector<SelectRow> rows(12, {.plan = {.temperature = 0, .key = {}}, .target = 299});
  Tensor<float, 2> logits;
  run.model->forward(run.context, std::span(&span, 1), *run.state, parameters,
                     {.rows = rows, .choices = choices, .logits = &logits});
  return logits;
}

TEST(HeadBias, IsAddedToEveryLogitBeforeTheCapTimesTheScale) {
  const Json config = test::biased_head_config();
  const auto scale = config.at("head").at("scale").get<float>();
  const auto cap = config.at("head").at("soft_cap").get<float>();
  ASSERT_NE(scale, 1);
  ASSERT_NE(cap, 0);
  Json plain_config = config;
  plain_config["head"].erase("soft_cap");
  plain_config["head"].erase("bias");
  const auto backend = reference(DType::fp32);
  test::Tensors tensors = test::random_tensors(*make_model(config), 19);
  std::vector<float>& bias = tensors.at("head_bias");
  ASSERT_EQ(bias.size(), 300U);
  bias[299] = 40;  // the last id wins every row, which it does not without a bias
  std::vector<Choice> choices;
  const Tensor<float, 2> found = logits_of(config, *backend, tensors, &choices);
  const Tensor<float, 2> plain = logits_of(plain_config, *backend, tensors);
  for (std::int64_t row = 0; row < 12; ++row) {
    for (std::int64_t id = 0; id < 300; ++id) {
      const float biased = plain(row, id) + scale * bias[static_cast<std::size_t>(id)];
      ASSERT_EQ(found(row, id), soft_cap_f32(biased, cap)) << row << " " << id;
    }
    EXPECT_EQ(choices[static_cast<std::size_t>(row)].id, 299);
  }
}

TEST(HeadBias, WithoutAScaleIsUsedAsItIs) {
  Json config = test::biased_head_config();
  config["head"].erase("soft_cap");
  config["head"].erase("scale");
  Json plain_config = config;
  plain_config["head"].erase("bias");
  const auto backend = reference(DType::fp32);
  const test::Tensors tensors = test::random_tensors(*make_model(config), 20);
  const std::vector<float>& bias = tensors.at("head_bias");
  const Tensor<float, 2> found = logits_of(config, *backend, tensors);
  const Tensor<float, 2> plain = logits_of(plain_config, *backend, tensors);
  for (std::size_t i = 0; i < found.flat().size(); ++i) {
    ASSERT_EQ(found.flat()[i], plain.flat()[i] + bias[i % 300]) << i;
  }
}

TEST(LlamaForward, SelfOnlyAttentionMakesATokenForgetItsPast) {
  Json config = test::llama_config();
  config["generation_attention"] = "self_only";
  const auto backend = reference(DType::fp32);
  ModelRun model(config, *backend, 2, kLongest);
  const Tensor<float, 2> after_text = model.feed(0, walk(8, 300, 13));
  const std::vector<TokenId> last = {walk(8, 300, 13).back()};
  const std::span<const float> row = after_text.view().row(7);
  EXPECT_EQ(model.feed(1, last).flat(), std::vector<float>(row.begin(), row.end()));
}

TEST(LlamaForward, ATiedHeadEqualsAHeadWithTheSameNumbers) {
  const auto backend = reference(DType::fp32);
  Json tied_config = test::llama_config();
  tied_config["tied"] = true;
  ModelRun tied(tied_config, *backend, 1, kLongest);
  ModelRun untied(test::llama_config(), *backend, 1, kLongest);
  test::Tensors tensors = tied.tensors;
  tensors["head"] = tensors["embedding"];
  test::MemoryParameters parameters(*backend, *untied.model, tensors);
  const std::vector<TokenId> tokens = walk(6, 300, 14);
  const RowSpan span{.slot = 0, .tokens = tokens, .want = LogitsWanted::all};
  Tensor<float, 2> logits;
  untied.model->forward(untied.context, std::span(&span, 1), *untied.state, parameters,
                        {.logits = &logits});
  EXPECT_EQ(logits.flat(), tied.feed(0, tokens).flat());
}

TEST(LlamaForward, AWindowHidesWhatLiesBehindIt) {
  // One layer with window 3: the last logits depend on the last three tokens and their positions.
  Json config = test::llama_config();
  config["layers"] = 1;
  config["windows"] = {3};
  const auto backend = reference(DType::fp32);
  ModelRun model(config, *backend, 2, kLongest);
  std::vector<TokenId> first = walk(10, 300, 15);
  std::vector<TokenId> second = walk(10, 300, 16);
  std::copy(first.end() - 3, first.end(), second.end() - 3);
  const Tensor<float, 2> a = model.feed(0, first);
  const Tensor<float, 2> b = model.feed(1, second);
  EXPECT_TRUE(std::equal(a.flat().end() - 300, a.flat().end(), b.flat().end() - 300));
  EXPECT_FALSE(std::equal(a.flat().end() - 600, a.flat().end() - 300, b.flat().end() - 600));
}

}  // namespace
}  // namespace gridmill
