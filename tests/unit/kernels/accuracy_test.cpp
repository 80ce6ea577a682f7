#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "gridmill/base/fp16.hpp"
#include "unit/kernels/candidates.hpp"
#include "unit/kernels/product_cases.hpp"
#include "unit/kernels/row_cases.hpp"
#include "unit/kernels/select_cases.hpp"

// Backends that set rules of their own against naive formulas in float64: are the rules the right
// mathematics? The bounds hold for any order of a sum.
// u = 2^-24 is half an ulp of 1: what one rounding to nearest costs, relatively.
namespace gridmill::testing {
namespace {

constexpr double kU = 0x1p-24;

float stored_as(float value, DType dtype) {
  if (dtype == DType::bf16) return bf16_to_fp32(fp32_to_bf16(value));
  if (dtype == DType::fp16) return fp16_to_fp32(fp32_to_fp16(value));
  return value;
}

float rounded(float value, DType compute_dtype) {
  return compute_dtype == DType::bf16 ? bf16_to_fp32(fp32_to_bf16(value)) : value;
}

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::identity:
      return x;
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::relu_squared:
      return std::max(x, 0.0) * std::max(x, 0.0);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::selu:
      return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * std::expm1(x));
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
  }
  return x;
}

/// A value and a bound of the error with which the backend may know it.
struct Bounded {
  double value = 0;
  double error = 0;
};

/// y = w x + b. A chain of n fused steps from 0 errs by at most n u sum |x w| (1 + O(n u)), any
/// tree of blocks by less than n + 3 of them; the bias costs one rounding more. 1.01 covers O(n u).
Bounded product(std::span<const float> x, std::span<const float> w, double bias, DType stored,
                DType compute) {
  Bounded y{bias, 0};
  double magnitude = std::fabs(bias);
  for (std::size_t k = 0; k < x.size(); ++k) {
    const double term = static_cast<double>(rounded(x[k], compute)) *
                        static_cast<double>(rounded(stored_as(w[k], stored), compute));
    y.value += term;
    magnitude += std::fabs(term);
  }
  y.error = 1.01 * (static_cast<double>(x.size()) + 4) * kU * magnitude;
  return y;
}

/// The largest slope of any activation on the arguments of the suite is 2 |x| + 1 (relu squared);
/// evaluating one costs at most 16 roundings of numbers below |x| + |y| + 1.
Bounded activated(Activation activation, Bounded x) {
  Bounded y{activate(activation, x.value), 0};
  y.error = (2 * std::fabs(x.value) + 2) * x.error +
            16 * kU * (std::fabs(x.value) + std::fabs(y.value) + 1);
  return y;
}

/// Rounding to the compute dtype at the end of a packed result.
Bounded packed(Bounded x, DType compute) {
  if (compute == DType::bf16) x.error += 0x1p-8 * (std::fabs(x.value) + x.error);
  return x;
}

class Accuracy : public ::testing::TestWithParam<Candidate> {
 protected:
  Accuracy() : device_(make_candidate(GetParam())) {}
  [[nodiscard]] static DType dtype() { return GetParam().dtype; }
  TestDevice device_;
};

template <typename Expected>
void expect_near(const Matrix& actual, const std::string& what, Expected expected) {
  for (std::int64_t row = 0; row < actual.extent(0); ++row) {
    for (std::int64_t column = 0; column < actual.extent(1); ++column) {
      const Bounded want = expected(row, column);
      ASSERT_NEAR(actual(row, column), want.value, want.error)
          << what << " at " << row << ", " << column;
    }
  }
}

TEST_P(Accuracy, Linear) {
  for (const ProductCase& one : product_cases()) {
    const ProductData data = product_data(one);
    expect_near(run_linear(device_, one), text(one), [&](std::int64_t row, std::int64_t o) {
      const double bias = one.bias ? data.bias[static_cast<std::size_t>(o)] : 0.0F;
      Bounded y = product(data.x.view().row(row), data.w.view().row(o), bias, one.stored, dtype());
      if (one.soft_cap != 0) {
        const double cap = one.soft_cap;
        y = {cap * std::tanh(y.value / cap), y.error + 8 * kU * cap};
      }
      return y;
    });
  }
}

TEST_P(Accuracy, LinearActivated) {
  for (const ProductCase& one : product_cases()) {
    const ProductData data = product_data(one);
    expect_near(run_activated(device_, one), text(one), [&](std::int64_t row, std::int64_t o) {
      const double bias = one.bias ? data.bias[static_cast<std::size_t>(o)] : 0.0F;
      return packed(activated(one.activation, product(data.x.view().row(row), data.w.view().row(o),
                                                      bias, one.stored, dtype())),
                    dtype());
    });
  }
}

TEST_P(Accuracy, LinearGated) {
  for (const ProductCase& one : product_cases()) {
    const ProductData data = product_data(one, true);
    expect_near(run_gated(device_, one), text(one), [&](std::int64_t row, std::int64_t f) {
      const auto half = [&](std::int64_t o) {
        const double bias = one.bias ? data.bias[static_cast<std::size_t>(o)] : 0.0F;
        return product(data.x.view().row(row), data.w.view().row(o), bias, one.stored, dtype());
      };
      const Bounded gate = activated(one.activation, half(f));
      const Bounded up = half(one.outputs + f);
      Bounded y{gate.value * up.value, 0};
      y.error = gate.error * (std::fabs(up.value) + up.error) + std::fabs(gate.value) * up.error +
                2 * kU * std::fabs(y.value);
      return packed(y, dtype());
    });
  }
}

TEST_P(Accuracy, LinearRowParallel) {
  for (const ProductCase& one : product_cases()) {
    const ProductData data = product_data(one);
    expect_near(run_row_parallel(device_, one), text(one), [&](std::int64_t row, std::int64_t o) {
      const double bias = one.bias ? data.bias[static_cast<std::size_t>(o)] : 0.0F;
      Bounded y = product(data.x.view().row(row), data.w.view().row(o), bias, one.stored, dtype());
      if (one.accumulate) {
        y.value += data.before(row, o);
        y.error += 2 * kU * (std::fabs(y.value) + std::fabs(data.before(row, o)));
      }
      return y;
    });
  }
}

/// norm(x)[i]. Mean, variance and root cost at most (n / 16 + 8) roundings each of the sums of
/// magnitudes, the rest five.
std::vector<Bounded> normalized(std::span<const float> x, const NormCase& norm,
                                const NormData& data) {
  const auto n = static_cast<double>(x.size());
  const double roundings = n / 16 + 8;
  double mean = 0;
  double magnitude = 0;
  for (const float value : x) magnitude += std::fabs(static_cast<double>(value)) / n;
  if (norm.kind == NormKind::layer) {
    for (const float value : x) mean += static_cast<double>(value) / n;
  }
  const double mean_error = norm.kind == NormKind::layer ? roundings * kU * magnitude : 0;
  double variance = 0;
  double variance_error = 0;
  for (const float value : x) {
    const double d = static_cast<double>(value) - mean;
    variance += d * d / n;
    variance_error += 2 * std::fabs(d) * (mean_error + kU * std::fabs(d)) / n;
  }
  variance_error += mean_error * mean_error + roundings * kU * variance;
  const double spread = variance + static_cast<double>(1e-5F);
  const double r = 1 / std::sqrt(spread);
  const double r_error = r * (variance_error / spread / 2 + 4 * kU) * 1.5;
  std::vector<Bounded> out;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = static_cast<double>(x[i]) - mean;
    const double w = norm.weight ? data.weight[i] : 1.0;
    const double b = norm.bias ? data.bias[i] : 0.0;
    Bounded y{d * r * w + b, 0};
    y.error = std::fabs(w) * (std::fabs(d) * r_error + (mean_error + kU * std::fabs(d)) * r) +
              3 * kU * (std::fabs(d * r * w) + std::fabs(y.value));
    const double factor = norm_factor(norm);
    y.value *= factor;
    y.error = factor * y.error + kU * std::fabs(y.value);
    out.push_back(y);
  }
  return out;
}

TEST_P(Accuracy, NormPack) {
  for (const NormCase& norm : norm_cases()) {
    const NormData data = norm_data(norm);
    expect_near(run_norm_pack(device_, norm), text(norm), [&](std::int64_t row, std::int64_t i) {
      const std::int64_t source =
          norm.picked.empty() ? row : norm.picked[static_cast<std::size_t>(row)];
      return packed(normalized(data.x.view().row(source), norm, data)[static_cast<std::size_t>(i)],
                    dtype());
    });
  }
}

TEST_P(Accuracy, NormAdd) {
  for (const NormCase& norm : norm_cases()) {
    const NormData data = norm_data(norm);
    expect_near(run_norm_add(device_, norm), text(norm), [&](std::int64_t row, std::int64_t i) {
      Bounded y = normalized(data.y.view().row(row), norm, data)[static_cast<std::size_t>(i)];
      y.value += data.x(row, i);
      y.error += 2 * kU * std::fabs(y.value);
      return y;
    });
  }
}

TEST_P(Accuracy, EmbeddingRowsAreExactlyTheRoundedTable) {
  for (const EmbedCase& embed : embed_cases()) {
    if (embed.only_shard >= 0) continue;
    const Matrix table = embed_table(embed);
    const Matrix rows = run_embed(device_, embed);
    for (std::int64_t i = 0; i < rows.extent(0); ++i) {
      const std::int64_t id = embed.vocab_size + 2 - i;
      for (std::int64_t k = 0; k < embed.width; ++k) {
        if (id < 0 || id >= embed.vocab_size) {
          ASSERT_TRUE(std::isnan(rows(i, k))) << "a row that the table lacks was written";
        } else {
          ASSERT_EQ(rows(i, k), rounded(stored_as(table(id, k), embed.stored), dtype()))
              << text(embed) << " id " << id;
        }
      }
    }
  }
}

TEST_P(Accuracy, PartsOfTheOlderMlstmLayer) {
  for (const OlderCase& older : older_cases()) {
    const std::int64_t width = older.groups * older.group_outputs;
    Numbers affine(3);
    const Matrix x = affine.matrix(older.rows, width);
    const std::vector<float> weight = affine.vector(width);
    const std::vector<float> bias = affine.vector(width);
    expect_near(
        run_channel_affine(device_, older), text(older), [&](std::int64_t row, std::int64_t i) {
          const auto at = static_cast<std::size_t>(i);
          const double term = static_cast<double>(x(row, i)) * weight[at];
          const double b = older.bias ? bias[at] : 0.0F;
          return activated(older.activation, {term + b, 2 * kU * (std::fabs(term) + std::fabs(b))});
        });

    Numbers diagonal(4);
    const Matrix y = diagonal.matrix(older.rows, older.groups * older.group_inputs);
    const std::vector<float> blocks = diagonal.vector(width * older.group_inputs);
    expect_near(
        run_block_diagonal(device_, older), text(older), [&](std::int64_t row, std::int64_t o) {
          const std::int64_t group = o / older.group_outputs;
          const auto inputs = static_cast<std::size_t>(older.group_inputs);
          return product(
              std::span<const float>(y.view().row(row))
                  .subspan(static_cast<std::size_t>(group) * inputs, inputs),
              std::span<const float>(blocks).subspan(static_cast<std::size_t>(o) * inputs, inputs),
              0, DType::fp32, DType::fp32);
        });

    Numbers skipping(5);
    const Matrix h = skipping.matrix(older.rows, width);
    const Matrix a = skipping.matrix(older.rows, width);
    const Matrix z = skipping.matrix(older.rows, width);
    const std::vector<float> skip = skipping.vector(width);
    expect_near(run_skip_gate(device_, older), text(older), [&](std::int64_t row, std::int64_t i) {
      const double term =
          static_cast<double>(skip[static_cast<std::size_t>(i)]) * static_cast<double>(a(row, i));
      const double sum = h(row, i) + term;
      const double sum_error =
          2 * kU * (std::fabs(static_cast<double>(h(row, i))) + std::fabs(term));
      const Bounded gate = activated(older.activation, {z(row, i), 0});
      Bounded result{sum * gate.value, 0};
      result.error = sum_error * (std::fabs(gate.value) + gate.error) +
                     std::fabs(sum) * gate.error + 2 * kU * std::fabs(result.value);
      return packed(result, dtype());
    });
  }
}

TEST_P(Accuracy, LogprobsAreThoseOfTheSoftmax) {
  for (const SelectCase& select : select_cases()) {
    SelectData data = select_data(select);
    for (SelectRow& row : data.rows) row.logprobs = true;
    const std::vector<SelectPartial> partials = run_select(device_, select, data);
    const Matrix logits = run_logits(device_, select, data);
    for (std::int64_t row = 0; row < select.rows; ++row) {
      double sum = 0;
      double largest = 0;
      for (const float logit : logits.view().row(row)) {
        sum += std::exp(static_cast<double>(logit));
        largest = std::max(largest, std::fabs(static_cast<double>(logit)));
      }
      // Differences of logits and their exponentials err by some 4 u (largest + 1) relatively, the
      // sum by 4 + 6 + 8 more roundings, the logarithm and the last two differences likewise.
      const double bound = 30 * kU * (2 * largest + std::fabs(std::log(sum)) + 1);
      const Choice choice = join_partials(
          std::span<const SelectPartial>(partials).subspan(static_cast<std::size_t>(row) * 8, 8));
      EXPECT_NEAR(choice.logprob, static_cast<double>(logits(row, choice.id)) - std::log(sum),
                  bound)
          << text(select);
      const TokenId target = data.rows[static_cast<std::size_t>(row)].target;
      if (target >= 0) {
        EXPECT_NEAR(choice.target_logprob, static_cast<double>(logits(row, target)) - std::log(sum),
                    bound)
            << text(select);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, Accuracy, ::testing::ValuesIn(rule_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
