#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/generate/generator.hpp"
#include "support/cuda_under_test.hpp"
#include "support/model_run.hpp"
#include "support/thread_exchange.hpp"
#include "support/tiny_models.hpp"
#include "unit/generate/generator_fixture.hpp"

// Both model families on the cuda backend: the reference's logits within roundings, and the same
// bits whatever a row may not depend on.
namespace gridmill {
namespace {

using test::ModelRun;
using test::walk;
using testing::make_cuda;

constexpr std::int64_t kLongest = 100;

struct Case {
  test::TinyModel tiny;
  DType dtype = DType::fp32;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.tiny.name; }

bool is_recurrent(const test::TinyModel& tiny) {
  const std::vector<test::TinyModel> recurrent = test::recurrent_models();
  return std::any_of(recurrent.begin(), recurrent.end(),
                     [&](const test::TinyModel& one) { return one.name == tiny.name; });
}

/// Recurrent layers other than mLSTM do not run on this backend.
std::vector<Case> cases(const std::vector<test::TinyModel>& models) {
  std::vector<Case> all;
  for (const test::TinyModel& tiny : models) {
    if (is_recurrent(tiny)) continue;
    all.push_back({tiny, DType::fp32});
    all.push_back({tiny, DType::bf16});
  }
  return all;
}

std::string name_of_case(const ::testing::TestParamInfo<Case>& each) {
  return each.param.tiny.name + "_" + std::string(name_of(each.param.dtype));
}

class ModelOnCuda : public ::testing::TestWithParam<Case> {
 protected:
  [[nodiscard]] ModelRun run(int slots) {
    return {GetParam().tiny.config, *backend_, slots, kLongest};
  }
  std::unique_ptr<Backend> backend_ = make_cuda(GetParam().dtype);
};

TEST_P(ModelOnCuda, HasTheReferencesLogitsWithinRoundings) {
  const auto reference = make_backend("reference", {.compute_dtype = GetParam().dtype});
  ModelRun expected_run(GetParam().tiny.config, *reference, 1, kLongest);
  ModelRun actual_run = run(1);
  const std::vector<TokenId> tokens = walk(70, 300, 1);
  const Tensor<float, 2> expected = expected_run.feed(0, tokens);
  const Tensor<float, 2> actual = actual_run.feed(0, tokens);
  float largest = 0;
  float difference = 0;
  for (std::size_t i = 0; i < expected.flat().size(); ++i) {
    largest = std::max(largest, std::fabs(expected.flat()[i]));
    difference = std::max(difference, std::fabs(actual.flat()[i] - expected.flat()[i]));
  }
  // Logits are of order one. A sum of n terms in another order differs by some sqrt(n) u of its
  // size, u = 2^-24; twenty such operations in a row, norms that may blow a small row up by some
  // 30, leave 2^-24 * 10 * 20 * 30 = 2^-11. In bf16 a value may round to its neighbour, u = 2^-9,
  // where errors of the 70 products of a row average out: 2^-9 * 20. Wrong indexing gives errors of
  // order one, as the next test shows.
  EXPECT_LE(difference, GetParam().dtype == DType::fp32 ? 0x1p-11F : 20 * 0x1p-9F);
  EXPECT_GT(largest, 0.5F);
}

TEST_P(ModelOnCuda, AnotherTextHasOtherLogits) {
  ModelRun model = run(2);
  const Tensor<float, 2> first = model.feed(0, walk(70, 300, 1));
  const Tensor<float, 2> second = model.feed(1, walk(70, 300, 2));
  float difference = 0;
  for (std::size_t i = 0; i < first.flat().size(); ++i) {
    difference = std::max(difference, std::fabs(first.flat()[i] - second.flat()[i]));
  }
  EXPECT_GT(difference, 0.5F);
}

TEST_P(ModelOnCuda, GivesTheSameBitsHoweverAPromptIsCut) {
  const std::vector<TokenId> tokens = walk(40, 300, 1);
  ModelRun whole = run(1);
  const Tensor<float, 2> expected = whole.feed(0, tokens);
  for (const std::size_t piece : {1U, 33U}) {
    ModelRun cut = run(1);
    EXPECT_EQ(cut.feed_in_pieces(0, tokens, piece).flat(), expected.flat()) << piece;
  }
}

TEST_P(ModelOnCuda, GivesTheSameBitsBesideOthers) {
  ModelRun alone = run(1);
  const std::vector<TokenId> tokens = walk(20, 300, 3);
  const Tensor<float, 2> expected = alone.feed(0, tokens);
  ModelRun together = run(4);
  std::vector<std::vector<TokenId>> texts;
  std::vector<RowSpan> spans;
  texts.reserve(4);
  for (SlotId slot = 0; slot < 4; ++slot) {
    texts.push_back(slot == 2 ? tokens : walk(30, 300, 40 + static_cast<std::uint64_t>(slot)));
  }
  for (SlotId slot = 3; slot >= 0; --slot) {
    spans.push_back({.slot = slot,
                     .position = 0,
                     .tokens = texts[static_cast<std::size_t>(slot)],
                     .want = slot == 2 ? LogitsWanted::all : LogitsWanted::none});
  }
  EXPECT_EQ(together.feed(spans).flat(), expected.flat());
}

TEST_P(ModelOnCuda, GeneratesTheSameRowsWithAnySlotsAndOnReplay) {
  const auto rows = [&](int slots, std::int64_t pass_rows, std::size_t replayed,
                        const std::map<RowId, Completion>& before) {
    ModelRun model = run(1);
    std::vector<Request> requests;
    for (RowId row = 0; row < 3; ++row) {
      Request request =
          test::request_of(row, walk(2 + static_cast<std::size_t>(row) * 3, 300, 9), 16);
      request.logprobs = true;
      if (replayed > 0) {
        const std::vector<TokenId>& tokens = before.at(row).tokens;
        const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(request.prompt.size());
        request.replay.assign(first, first + static_cast<std::ptrdiff_t>(replayed));
      }
      requests.push_back(std::move(request));
    }
    Generator generator(*model.model, model.context, model.parameters,
                        {.slots = slots, .max_length = 40, .pass_rows = pass_rows});
    return test::run_all(generator, std::move(requests));
  };
  const std::map<RowId, Completion> expected = rows(1, 512, 0, {});
  for (const auto& [slots, pass_rows, replayed] : {std::tuple{3, 512, 0}, std::tuple{2, 5, 2}}) {
    const std::map<RowId, Completion> found =
        rows(slots, pass_rows, static_cast<std::size_t>(replayed), expected);
    for (const auto& [row, completion] : expected) {
      EXPECT_EQ(found.at(row).tokens, completion.tokens) << "slots " << slots << " row " << row;
      EXPECT_EQ(found.at(row).logprobs, completion.logprobs) << "slots " << slots << " row " << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ModelOnCuda, ::testing::ValuesIn(cases(test::tiny_models())),
                         name_of_case);

class ModelOnCudaRanks : public ::testing::TestWithParam<Case> {};

TEST_P(ModelOnCudaRanks, GivesTheSameBitsOnEveryTpSize) {
  const std::vector<TokenId> tokens = walk(20, 300, 5);
  const test::Tensors tensors = test::random_tensors(*make_model(GetParam().tiny.config), 1);
  const auto logits_on = [&](Exchange& tp) {
    const auto backend = make_cuda(GetParam().dtype);
    const auto model = make_model(GetParam().tiny.config);
    const auto stream = backend->make_stream();
    ExecutionContext context{*backend, *stream, tp};
    test::MemoryParameters parameters(*backend, *model, tensors, tp.size(), tp.rank());
    const auto state = model->make_state(context, 1, kLongest);
    const RowSpan span{.slot = 0, .position = 0, .tokens = tokens, .want = LogitsWanted::all};
    Tensor<float, 2> logits;
    model->forward(context, std::span(&span, 1), *state, parameters, {.logits = &logits});
    return std::vector<float>(logits.flat().begin(), logits.flat().end());
  };
  NoExchange alone;
  const std::vector<float> expected = logits_on(alone);
  for (const int size : {2, 4}) {
    std::vector<std::vector<float>> found(static_cast<std::size_t>(size));
    test::ThreadGroup(size).run(
        [&](Exchange& tp) { found[static_cast<std::size_t>(tp.rank())] = logits_on(tp); });
    for (const std::vector<float>& logits : found) EXPECT_EQ(logits, expected) << "tp " << size;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ModelOnCudaRanks,
                         ::testing::ValuesIn(cases(test::splittable_models())), name_of_case);

TEST(RecurrentModelsOnCuda, AreRefusedByTheNameOfTheMissingOperation) {
  const std::vector<test::TinyModel> models = test::recurrent_models();
  ASSERT_EQ(models.size(), 4U);
  const auto backend = make_cuda(DType::fp32);
  for (const test::TinyModel& tiny : models) {
    const std::string operation = tiny.name == "slstm" ? "short_convolution" : "linear_recurrence";
    try {
      const ModelRun run(tiny.config, *backend, 1, kLongest);
      ADD_FAILURE() << tiny.name << " ran";
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find(operation), std::string::npos) << error.what();
    }
  }
}

TEST(CudaNumerics, HaveAnIdOfTheirOwn) {
  // The id is part of the job's identity (job/job_plan.cpp): a file made under one belongs to
  // another job.
  EXPECT_EQ(make_cuda(DType::fp32)->numerics_id(), "cuda-2-fp32");
  EXPECT_EQ(make_cuda(DType::bf16)->numerics_id(), "cuda-2-bf16");
}

}  // namespace
}  // namespace gridmill
