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

class ModelOnCpuBackend : public ::testing::TestWithParam<Case> {};

TEST_P(ModelOnCpuBackend, HasTheBitsOfTheReference) {
  std::unique_ptr<Backend> cpu;
  try {
    cpu = make_backend(
        "cpu",
        {.compute_dtype = GetParam().dtype, .threads = 2, .kernel_target = GetParam().target});
  } catch (const ResourceError& error) {
    GTEST_SKIP() << "needs a CPU with " << GetParam().target << ": " << error.what();
  }
  const auto reference = make_backend("reference", {.compute_dtype = GetParam().dtype});
  std::vector<std::vector<float>> logits;
  for (Backend* backend : {reference.get(), cpu.get()}) {
    test::ModelRun run(GetParam().tiny.config, *backend, 2, 100);
    std::vector<float> all = run.feed(0, test::walk(70, 300, 1)).flat();
    const std::vector<float> steps = run.feed_in_pieces(1, test::walk(9, 300, 2), 1).flat();
    all.insert(all.end(), steps.begin(), steps.end());
    logits.push_back(std::move(all));
  }
  EXPECT_EQ(logits[0], logits[1]);
}

INSTANTIATE_TEST_SUITE_P(Models, ModelOnCpuBackend, ::testing::ValuesIn(cases()),
                         [](const ::testing::TestParamInfo<Case>& each) {
                           return each.param.tiny.name + "_" +
                                  std::string(name_of(each.param.dtype)) + "_" + each.param.target;
                         });

}  // namespace
}  // namespace gridmill
