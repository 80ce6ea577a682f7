#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/base/philox.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/float_mode.hpp"

// The 16-lane elementary functions have the bits of base/numerics: every exponent and sign with 64
// mantissas each, the ends of every exponent, and the borders where the functions change branches.
namespace gridmill::cpu {
namespace {

std::vector<float> arguments() {
  std::vector<float> values;
  for (std::uint32_t top = 0; top < 512; ++top) {  // sign and exponent
    for (std::uint32_t i = 0; i < 16; ++i) {
      for (const std::uint32_t word : philox4x32({top, i, 0, 0}, {3, 4})) {
        values.push_back(std::bit_cast<float>(top << 23 | (word & 0x007FFFFFU)));
      }
    }
    for (const std::uint32_t mantissa : {0x0U, 0x1U, 0x007FFFFFU, 0x00400000U}) {
      values.push_back(std::bit_cast<float>(top << 23 | mantissa));
    }
  }
  for (const float border : {numerics::kExpMax, numerics::kExpMin, numerics::kSqrtHalf, 0.625F,
                             1.0F, 2.0F, 0.5F, 88.0F}) {
    auto bits = std::bit_cast<std::uint32_t>(border) - 32;
    for (int i = 0; i < 64; ++i, ++bits) {
      values.push_back(std::bit_cast<float>(bits));
      values.push_back(-std::bit_cast<float>(bits));
    }
  }
  while (values.size() % 16 != 0) values.push_back(0.0F);
  return values;
}

struct Case {
  std::string name;
  ElementaryArgs args;
  std::function<float(float)> scalar;
};

std::vector<Case> cases() {
  const auto function = [](ElementaryFunction f) {
    ElementaryArgs args;
    args.function = f;
    return args;
  };
  std::vector<Case> all = {
      {"exp", function(ElementaryFunction::exp), exp_f32},
      {"log", function(ElementaryFunction::log), log_f32},
      {"log1p", function(ElementaryFunction::log1p), log1p_f32},
      {"log_sigmoid", function(ElementaryFunction::log_sigmoid), log_sigmoid_f32},
      {"tanh", function(ElementaryFunction::tanh), tanh_f32},
  };
  const std::vector<std::pair<const char*, Activation>> activations = {
      {"identity", Activation::identity},
      {"silu", Activation::silu},
      {"gelu_tanh", Activation::gelu_tanh},
      {"relu", Activation::relu},
      {"relu_squared", Activation::relu_squared},
      {"sigmoid", Activation::sigmoid},
      {"selu", Activation::selu},
      {"gelu", Activation::gelu}};
  for (const auto& [name, activation] : activations) {
    ElementaryArgs args;
    args.activation = true;
    args.act = activation;
    all.push_back({name, args, [act = activation](float x) { return activate_f32(act, x); }});
  }
  return all;
}

class Elementary : public ::testing::TestWithParam<std::pair<const char*, DType>> {};

TEST_P(Elementary, HasTheBitsOfTheScalarFunctions) {
  const auto [target, dtype] = GetParam();
  KernelTable kernels;
  try {
    kernels = kernels_for(target, dtype);
  } catch (const ResourceError& error) {
    GTEST_SKIP() << "needs " << target << ": " << error.what();
  }
  const std::vector<float> x = arguments();
  std::vector<float> y(x.size());
  const FloatMode mode(dtype);
  for (const Case& one : cases()) {
    ElementaryArgs args = one.args;
    args.x = x.data();
    args.y = y.data();
    args.count = static_cast<std::int64_t>(x.size());
    kernels.elementary(args, {});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float expected = one.scalar(x[i]);
      if (std::isnan(expected) && std::isnan(y[i])) continue;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(expected))
          << one.name << "(" << x[i] << ") = " << y[i] << ", expected " << expected;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Targets, Elementary,
    ::testing::Values(std::pair{"avx512bf16", DType::fp32}, std::pair{"avx512bf16", DType::bf16},
                      std::pair{"avx512", DType::fp32}, std::pair{"avx512", DType::bf16},
                      std::pair{"avx2", DType::fp32}, std::pair{"avx2", DType::bf16}),
    [](const auto& test) {
      return std::string(test.param.first) + "_" + std::string(name_of(test.param.second));
    });

}  // namespace
}  // namespace gridmill::cpu
