// A whole model has the same bits on every backend that promises the same numerics.
#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "support/model_run.hpp"
#include "support/tiny_models.hpp"

namespace gridmill {
namespace {

struct Case {
  test::TinyModel tiny;
  DType dtype = DType::fp32;
  std::string target;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.tiny.name; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const test::TinyModel& tiny : test::tiny_models()) {
    for (const DType dtype : {DType::fp32, DType::bf16}) {
      for (const char* target : {"avx512bf16", "avx512", "avx2"})
        all.push_back({tiny, dtype, target});
    }
  }
  return all;
}

class ModelOnCpuBackend : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    try {
      cpu_ = make_backend(
          "cpu",
          {.compute_dtype = GetParam().dtype, .threads = 2, .kernel_target = GetParam().target});
    } catch (const ResourceError& error) {
      GTEST_SKIP() << "needs a CPU with " << GetParam().target << ": " << error.what();
    }
  }
  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<Backend> reference_ =
      make_backend("reference", {.compute_dtype = GetParam().dtype});
};

TEST_P(ModelOnCpuBackend, HasTheBitsOfTheReference) {
  std::vector<std::vector<float>> logits;
  for (Backend* backend : {reference_.get(), cpu_.get()}) {
    test::ModelRun run(GetParam().tiny.config, *backend, 2, 100);
    std::vector<float> all = run.feed(0, test::walk(70, 300, 1)).flat();
    const std::vector<float> steps = run.feed_in_pieces(1, test::walk(9, 300, 2), 1).flat();
    all.insert(all.end(), steps.begin(), steps.end());
    logits.push_back(std::move(all));
  }
  EXPECT_EQ(logits[0], logits[1]);
}

TEST_P(ModelOnCpuBackend, HasThemToMoreRowsThanHaveLogitsAtATime) {
  constexpr std::size_t kTokens = 97;  // three times as many do not end with whole blocks of rows
  static_assert(3 * kTokens > kLogitRows);
  test::ModelRun alone(GetParam().tiny.config, *reference_, 3, 100);
  test::ModelRun together(GetParam().tiny.config, *cpu_, 3, 100);
  std::vector<std::vector<TokenId>> texts;
  std::vector<RowSpan> spans;
  std::vector<float> expected;
  texts.reserve(3);
  for (SlotId slot = 0; slot < 3; ++slot) {
    texts.push_back(test::walk(kTokens, 300, static_cast<std::uint64_t>(slot)));
    spans.push_back({.slot = slot, .tokens = texts.back(), .want = LogitsWanted::all});
    const Tensor<float, 2> logits = alone.feed(slot, texts.back());
    expected.insert(expected.end(), logits.flat().begin(), logits.flat().end());
  }
  EXPECT_EQ(together.feed(spans).flat(), expected);
}

INSTANTIATE_TEST_SUITE_P(Models, ModelOnCpuBackend, ::testing::ValuesIn(cases()),
                         [](const ::testing::TestParamInfo<Case>& each) {
                           return each.param.tiny.name + "_" +
                                  std::string(name_of(each.param.dtype)) + "_" + each.param.target;
                         });

}  // namespace
}  // namespace gridmill
