#include <gtest/gtest.h>

#include "support/model_run.hpp"
#include "support/thread_exchange.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

struct Case {
  test::TinyModel tiny;
  DType dtype = DType::fp32;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.tiny.name; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const test::TinyModel& tiny : test::splittable_models()) {
    all.push_back({tiny, DType::fp32});
    all.push_back({tiny, DType::bf16});
  }
  return all;
}

/// What one rank sees of a run over two slots, prompt and decode rows mixed.
struct Seen {
  std::vector<float> logits;
  std::vector<TokenId> ids;
  std::vector<float> logprobs;
};

Seen run_rank(const Case& test_case, const test::Tensors& tensors, Exchange& tp) {
  const auto backend = make_backend("reference", {.compute_dtype = test_case.dtype});
  const auto model = make_model(test_case.tiny.config);
  const auto stream = backend->make_stream();
  ExecutionContext context{*backend, *stream, tp};
  test::MemoryParameters parameters(*backend, *model, tensors, tp.size(), tp.rank());
  const auto state = model->make_state(context, 2, 64);

  Seen seen;
  const std::vector<TokenId> first = test::walk(9, 300, 1);
  const std::vector<TokenId> second = test::walk(4, 300, 2);
  const RowSpan spans[] = {{.slot = 1, .tokens = first, .want = LogitsWanted::all},
                           {.slot = 0, .tokens = second, .want = LogitsWanted::last}};
  Tensor<float, 2> logits;
  model->forward(context, spans, *state, parameters, {.logits = &logits});
  seen.logits = logits.flat();

  const RowSpan more[] = {
      {.slot = 0, .position = 4, .tokens = first, .want = LogitsWanted::all},
      {.slot = 1, .position = 9, .tokens = std::span(second).first(1), .want = LogitsWanted::last}};
  std::vector<SelectRow> rows;
  for (std::uint32_t i = 0; i < 10; ++i) {
    rows.push_back({.plan = {.temperature = i % 2 == 0 ? 0.0F : 0.9F,
                             .key = {.seed = 5, .prompt = 3, .sample = 1, .position = i}},
                    .target = static_cast<TokenId>(i * 31)});
  }
  std::vector<Choice> choices;
  model->forward(context, more, *state, parameters, {.rows = rows, .choices = &choices});
  for (const Choice& choice : choices) {
    seen.ids.push_back(choice.id);
    seen.logprobs.push_back(choice.logprob);
    seen.logprobs.push_back(choice.target_logprob);
  }
  return seen;
}

class TensorParallelModel : public ::testing::TestWithParam<Case> {};

TEST_P(TensorParallelModel, EveryRankOfEveryGroupSeesTheBitsOfOneRank) {
  const test::Tensors tensors = test::random_tensors(*make_model(GetParam().tiny.config), 21);
  NoExchange alone;
  const Seen expected = run_rank(GetParam(), tensors, alone);
  for (const int size : {2, 4, 8}) {
    std::vector<Seen> seen(static_cast<std::size_t>(size));
    test::ThreadGroup(size).run([&](Exchange& tp) {
      seen[static_cast<std::size_t>(tp.rank())] = run_rank(GetParam(), tensors, tp);
    });
    for (int rank = 0; rank < size; ++rank) {
      const Seen& found = seen[static_cast<std::size_t>(rank)];
      EXPECT_EQ(found.logits, expected.logits) << "tp " << size << " rank " << rank;
      EXPECT_EQ(found.ids, expected.ids) << "tp " << size << " rank " << rank;
      EXPECT_EQ(found.logprobs, expected.logprobs) << "tp " << size << " rank " << rank;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TensorParallelModel, ::testing::ValuesIn(cases()),
                         [](const ::testing::TestParamInfo<Case>& each) {
                           return each.param.tiny.name + "_" +
                                  std::string(name_of(each.param.dtype));
                         });

}  // namespace
}  // namespace gridmill
