#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "unit/kernels/expert_cases.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/select_cases.hpp"
#include "unit/kernels/test_device.hpp"

// Products with weights of codes: every target of the cpu backend against the reference, bit for
// bit, and the reference against plain arithmetic (docs/numerics.md, section 2a).
namespace gridmill::testing {
namespace {

struct CodedCandidate {
  std::string target;
  int threads = 1;
  WeightFormat format;
};

std::string label(const CodedCandidate& candidate) {
  return fmt::format("{}_{}_threads_int{}_groups_of_{}", candidate.target, candidate.threads,
                     candidate.format.codes == WeightCodes::int8 ? 8 : 4, candidate.format.group);
}
void PrintTo(const CodedCandidate& candidate, std::ostream* stream) { *stream << label(candidate); }

std::vector<CodedCandidate> coded_candidates() {
  std::vector<CodedCandidate> candidates;
  for (const WeightCodes codes : {WeightCodes::int8, WeightCodes::int4}) {
    candidates.push_back({"avx2", 1, {codes, 32}});
    candidates.push_back({"avx512", 1, {codes, 64}});
    candidates.push_back({"avx512bf16", 1, {codes, 32}});
    candidates.push_back({"auto", 3, {codes, 128}});
  }
  return candidates;
}

BackendOptions options_of(const CodedCandidate& candidate) {
  BackendOptions options;
  options.compute_dtype = DType::bf16;
  options.int8_products = true;
  options.threads = candidate.threads;
  options.kernel_target = candidate.target;
  return options;
}

std::unique_ptr<Backend> make_reference() {
  BackendOptions options;
  options.compute_dtype = DType::bf16;
  options.int8_products = true;
  return make_backend("reference", options);
}

class CodedProducts : public ::testing::TestWithParam<CodedCandidate> {
 protected:
  void SetUp() override {
    try {
      device_.emplace(make_backend("cpu", options_of(GetParam())));
    } catch (const ResourceError& error) {
      GTEST_SKIP() << "needs " << label(GetParam()) << ": " << error.what();
    }
    device_->keep_codes(GetParam().format);
    expected_.keep_codes(GetParam().format);
  }
  TestDevice& device() { return *device_; }

  template <typename Case, typename Run>
  void expect_same(const std::vector<Case>& cases, Run run) {
    ASSERT_FALSE(cases.empty());
    for (const Case& one : cases) {
      EXPECT_TRUE(same_bits(run(device(), one), run(expected_, one))) << text(one);
      device().check_and_clear();
      expected_.check_and_clear();
      if (HasFailure()) return;
    }
  }

  std::optional<TestDevice> device_;
  TestDevice expected_{make_reference()};
};

/// Those of all products, and inputs whose blocks and groups hang over.
std::vector<ProductCase> cases() {
  std::vector<ProductCase> all = product_cases();
  for (const std::int64_t inputs : {96, 257, 352, 768}) {
    for (const std::int64_t rows : {1, 6, 8, 21}) {
      all.push_back({.rows = rows, .inputs = inputs, .outputs = 50, .bias = true, .shards = 2});
    }
  }
  all.push_back({.rows = 300, .inputs = 520, .outputs = 49, .accumulate = true});
  return all;
}

TEST_P(CodedProducts, PromiseTheNumericsOfTheReference) {
  EXPECT_EQ(device().backend().numerics_id(), "cpu-1-int8");
  EXPECT_EQ(expected_.backend().numerics_id(), "cpu-1-int8");
  EXPECT_TRUE(device().backend().holds(GetParam().format));
}

TEST_P(CodedProducts, LinearHasTheSameBits) { expect_same(cases(), run_linear); }

TEST_P(CodedProducts, LinearActivatedHasTheSameBits) { expect_same(cases(), run_activated); }

TEST_P(CodedProducts, LinearGatedHasTheSameBits) { expect_same(cases(), run_gated); }

TEST_P(CodedProducts, LinearRowParallelHasTheSameBits) { expect_same(cases(), run_row_parallel); }

TEST_P(CodedProducts, LinearPartialAndJoinHaveTheBitsOfTheWhole) {
  for (const int tp_size : {2, 8}) {
    for (const ProductCase& product : cases()) {
      const Matrix whole = run_row_parallel(expected_, product);
      EXPECT_TRUE(same_bits(run_joined(device(), product, tp_size), whole))
          << text(product) << " tp " << tp_size;
      device().check_and_clear();
      expected_.check_and_clear();
    }
  }
}

TEST_P(CodedProducts, ExpertsHaveTheSameBits) {
  for (const int tp_size : {1, 8}) {
    expect_same(expert_cases(), [tp_size](TestDevice& device, const ExpertCase& experts) {
      return run_experts(device, experts, tp_size);
    });
  }
}

TEST_P(CodedProducts, SelectionHasTheSameBits) {
  for (const SelectCase& select : select_cases()) {
    const SelectData data = select_data(select);
    for (const int tp_size : {1, 4}) {
      EXPECT_TRUE(same_partials(run_select(device(), select, data, tp_size),
                                run_select(expected_, select, data, tp_size)))
          << text(select) << " tp " << tp_size;
    }
  }
}

/// Rows whose rounding to int8 is special.
Matrix special_rows(std::int64_t inputs) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> special = {0.0F,
                                      -0.0F,
                                      0x1p-130F,
                                      0x1p-126F,
                                      0x1p-101F,
                                      0x1p-99F,
                                      0x1p120F,
                                      3.3e38F,
                                      kInfinity,
                                      -kInfinity,
                                      std::numeric_limits<float>::quiet_NaN()};
  Numbers numbers(5);
  Matrix rows({static_cast<std::int64_t>(2 * special.size()), inputs});
  for (std::size_t i = 0; i < special.size(); ++i) {
    const auto alone = static_cast<std::int64_t>(2 * i);
    for (std::int64_t k = 0; k < inputs; ++k) {
      rows(alone, k) = special[i];
      rows(alone + 1, k) = numbers.next();
    }
    rows(alone + 1, inputs / 3) = special[i];  // one among ordinary ones
  }
  return rows;
}

TEST_P(CodedProducts, SpecialRowsHaveTheSameBits) {
  constexpr std::int64_t kInputs = 200;
  const Matrix rows = special_rows(kInputs);
  Matrix weights = Numbers(6).matrix(40, kInputs);
  for (std::int64_t k = 0; k < kInputs; ++k) weights(3, k) = 0.0F;       // scales of 0
  for (std::int64_t k = 0; k < kInputs; ++k) weights(4, k) *= 0x1p-12F;  // subnormal scales
  weights(5, 7) = 0x1p20F;                                               // a large one
  const auto run = [&](TestDevice& device) {
    const Weight w = device.weight(weights, {.shape = {.outputs = 40, .inputs = kInputs}});
    const DeviceMatrix out = device.matrix(rows.extent(0), 40);
    device.backend().linear(device.stream(), device.pack(rows), w, {}, 0.0F, out);
    return device.download(out);
  };
  const Matrix expected = run(expected_);
  EXPECT_TRUE(same_bits(run(device()), expected));
  EXPECT_EQ(expected(0, 0), 0.0F);
  EXPECT_EQ(expected(8, 1), 0.0F) << "2^-101 counts as 0";
  EXPECT_NE(expected(10, 1), 0.0F) << "2^-99 does not";
  EXPECT_TRUE(std::isnan(expected(16, 0)));
  EXPECT_TRUE(std::isnan(expected(17, 0))) << "one infinite value";
  EXPECT_FALSE(std::isnan(expected(15, 0)));
}

INSTANTIATE_TEST_SUITE_P(Targets, CodedProducts, ::testing::ValuesIn(coded_candidates()),
                         [](const auto& parameter) { return label(parameter.param); });

TEST(CodedReference, IsTheProductOfCodesAndScales) {
  // One group of 32 and one of 8, by hand: codes 1 to 40, scales 0.5 and 2.
  constexpr std::int64_t kInputs = 40;
  TestDevice device(make_reference());
  device.keep_codes({WeightCodes::int8, 32});
  Matrix weights({1, kInputs});
  Matrix rows({1, kInputs});
  for (std::int64_t k = 0; k < kInputs; ++k) {
    const bool first = k < 32;
    // The largest of each group gets code 127 in the weight and in the row.
    weights(0, k) = first ? 0.5F * static_cast<float>(127 - k) : 2.0F * static_cast<float>(k + 88);
    rows(0, k) = static_cast<float>(first ? 127 - 2 * k : 127 - (k - 32));
  }
  double expected = 0;
  for (std::int64_t k = 0; k < kInputs; ++k) {
    expected += static_cast<double>(weights(0, k)) * static_cast<double>(rows(0, k));
  }
  const Weight w = device.weight(weights, {.shape = {.outputs = 1, .inputs = kInputs}});
  const DeviceMatrix out = device.matrix(1, 1);
  device.backend().linear(device.stream(), device.pack(rows), w, {}, 0.0F, out);
  // Every value is a whole multiple of its scale and below 2^24: nothing is rounded.
  EXPECT_EQ(static_cast<double>(device.download(out)(0, 0)), expected);
}

TEST(CodedReference, OtherModesHoldNoCodes) {
  for (const char* name : {"reference", "cpu"}) {
    BackendOptions options;
    options.compute_dtype = DType::bf16;
    const auto backend = make_backend(name, options);
    EXPECT_FALSE(backend->holds({WeightCodes::int8, 32}));
    EXPECT_TRUE(backend->holds({}));
  }
  BackendOptions wrong;
  wrong.int8_products = true;
  EXPECT_THROW(static_cast<void>(make_backend("reference", wrong)), UsageError);
}

}  // namespace
}  // namespace gridmill::testing
