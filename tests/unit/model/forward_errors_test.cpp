#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "support/model_run.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

class ModelForwardErrors : public ::testing::Test {
 protected:
  ModelForwardErrors()
      : backend_(make_backend("reference", {})), run_(test::llama_config(), *backend_, 2, 10) {}

  void forward(const RowSpan& span, const HeadRequest& head) {
    run_.model->forward(run_.context, std::span(&span, 1), *run_.state, run_.parameters, head);
  }

  std::unique_ptr<Backend> backend_;
  test::ModelRun run_;
  std::vector<TokenId> tokens_ = {1, 2, 3};
  Tensor<float, 2> logits_;
};

TEST_F(ModelForwardErrors, IdsOutsideTheVocabularyAreRefused) {
  for (const TokenId id : {-1, 300}) {
    tokens_[1] = id;
    EXPECT_THROW(run_.feed(0, tokens_), UsageError) << id;
  }
}

TEST_F(ModelForwardErrors, ASpanMustContinueItsSlot) {
  EXPECT_THROW(forward({.slot = 0, .position = 1, .tokens = tokens_}, {.logits = &logits_}),
               UsageError);
  EXPECT_THROW(forward({.slot = 2, .tokens = tokens_}, {.logits = &logits_}), UsageError);
  EXPECT_THROW(forward({.slot = -1, .tokens = tokens_}, {.logits = &logits_}), UsageError);
}

TEST_F(ModelForwardErrors, ASlotHasRoomForMaxLengthTokens) {
  const std::vector<TokenId> ten(10, 5);
  run_.feed(0, ten);
  EXPECT_THROW(run_.feed(0, tokens_), UsageError);
  EXPECT_THROW(run_.feed(1, std::vector<TokenId>(11, 5)), UsageError);
}

TEST_F(ModelForwardErrors, ASlotOccursOnceInAPass) {
  const RowSpan spans[] = {{.slot = 0, .tokens = tokens_}, {.slot = 0, .tokens = tokens_}};
  EXPECT_THROW(run_.feed(spans), UsageError);
}

TEST_F(ModelForwardErrors, WantedRowsNeedAWayOut) {
  std::vector<Choice> choices;
  const std::vector<SelectRow> rows(1);
  EXPECT_THROW(forward({.slot = 0, .tokens = tokens_}, {}), UsageError);
  EXPECT_THROW(forward({.slot = 0, .tokens = tokens_}, {.choices = &choices}), UsageError);
  EXPECT_NO_THROW(forward({.slot = 0, .tokens = tokens_},
                          {.rows = rows, .choices = &choices, .logits = &logits_}));
  EXPECT_EQ(choices.size(), 1U);
  EXPECT_EQ(logits_.extent(0), 1);
}

TEST_F(ModelForwardErrors, ARefusedPassLeavesTheStateAsItWas) {
  const std::vector<TokenId> good = {1, 2};
  ASSERT_NO_THROW(run_.feed(0, good));
  tokens_[2] = 999;
  EXPECT_THROW(run_.feed(0, tokens_), UsageError);
  EXPECT_EQ(run_.state->position(0), 2);
}

TEST_F(ModelForwardErrors, AStateOfAnotherFamilyIsRefused) {
  test::ModelRun xlstm(test::xlstm_config(), *backend_, 1, 10);
  const RowSpan span{.slot = 0, .tokens = tokens_};
  EXPECT_THROW(run_.model->forward(run_.context, std::span(&span, 1), *xlstm.state, run_.parameters,
                                   {.logits = &logits_}),
               UsageError);
}

TEST_F(ModelForwardErrors, ASlotIsNotForkedOntoItselfNorPastItsTokens) {
  run_.feed(0, tokens_);
  EXPECT_TRUE(run_.state->forks_anywhere());
  EXPECT_THROW(run_.state->fork(0, 0, 2), UsageError);
  EXPECT_THROW(run_.state->fork(0, 0, 3), UsageError);
  EXPECT_THROW(run_.state->fork(0, 1, 4), UsageError);
  EXPECT_EQ(run_.state->position(0), 3);
  run_.state->fork(0, 1, 2);
  EXPECT_EQ(run_.state->position(1), 2);
}

TEST_F(ModelForwardErrors, ASavedStateOfTheWrongSizeIsRefused) {
  EXPECT_THROW(run_.state->load(0, 3, std::vector<float>(5)), UsageError);
  EXPECT_THROW(run_.state->load(0, 11, std::vector<float>(11 * 64)), UsageError);
}

}  // namespace
}  // namespace gridmill
