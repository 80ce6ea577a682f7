#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "unit/kernels/candidates.hpp"
#include "unit/kernels/sequence_cases.hpp"

// Attention and mLSTM of backends that set rules of their own against naive formulas in float64,
// with bounds derived from the number of roundings (u = 2^-24 each, 2^-8 where bf16 is kept).
namespace gridmill::testing {
namespace {

constexpr double kU = 0x1p-24;
constexpr double kUBf16 = 0x1p-8;
using Vector = std::vector<double>;

Vector doubles(std::span<const float> values) { return {values.begin(), values.end()}; }

Vector normalized(NormKind kind, Vector x, std::span<const float> weight) {
  double mean = 0;
  for (const double value : x) mean += value / static_cast<double>(x.size());
  if (kind == NormKind::layer) {
    for (double& value : x) value -= mean;
  }
  double square = 0;
  for (const double value : x) square += value * value / static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= weight[i] / std::sqrt(square + 1e-6);
  return x;
}

Vector rms_normalized(Vector x, const std::vector<float>& weight) {
  return normalized(NormKind::rms, std::move(x), weight);
}

/// A head's components from column `first` on, clamped.
Vector clamped_head(const AttentionCase& attention, Vector x) {
  if (attention.clip == 0) return x;
  const double clip = attention.clip;
  for (double& value : x) value = std::clamp(value, -clip, clip);
  return x;
}

Vector head_at(const AttentionCase& attention, const Matrix& inputs, std::int64_t token,
               std::int64_t first) {
  return doubles(
      std::span<const float>(inputs.view().row(token))
          .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(attention.head_dim)));
}

/// Head `head` of the queries (norm_seed 1) or keys (2), which begin at column `first`: normalised,
/// clamped and rotated.
Vector rotated(const AttentionCase& attention, int sequence, const Matrix& inputs,
               std::int64_t token, std::int64_t first, std::int64_t head, std::uint32_t norm_seed) {
  const int width = attention.head_dim;
  Vector x = head_at(attention, inputs, token, first + head * width);
  if (attention.qk_norm) {
    const int heads = norm_seed == 1 ? attention.heads : attention.kv_heads;
    const std::vector<float> weights =
        norm_weights(attention.own_norms ? heads * width : width, norm_seed);
    const auto begin = static_cast<std::size_t>(attention.own_norms ? head * width : 0);
    x = normalized(attention.norm_kind, x,
                   std::span(weights).subspan(begin, static_cast<std::size_t>(width)));
  }
  x = clamped_head(attention, std::move(x));
  // Sequence s is fed in slot s.
  const double theta = attention.long_rows && sequence % 2 == 1 ? 1000 : 100;
  const Matrix row = rotary_row(static_cast<int>(token), attention.rotated(), theta);
  const auto half = static_cast<std::size_t>(attention.rotated() / 2);
  for (std::size_t i = 0; i < half; ++i) {
    const double cosine = row(0, static_cast<std::int64_t>(i));
    const double sine = row(0, static_cast<std::int64_t>(i + half));
    const double a = x[i];
    const double b = x[i + half];
    x[i] = a * cosine - b * sine;
    x[i + half] = b * cosine + a * sine;
  }
  return x;
}

double magnitude_dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] * b[i]);
  return sum;
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// A value as the compute dtype keeps it.
double kept(double value, DType dtype) {
  if (dtype == DType::fp32) return value;
  return bf16_to_fp32(fp32_to_bf16(static_cast<float>(value)));
}

Vector kept(Vector x, DType dtype) {
  for (double& value : x) value = kept(value, dtype);
  return x;
}

/// What one row's query head sees, and how far a result may lie from it.
struct Expected {
  Vector out;
  Vector bound;
};

/// @param keys, values  [positions], as the cache keeps them; those from `first` to `last` are seen
/// @param sink  the head's score without a value, if it has one
Expected attend(const AttentionCase& attention, const Vector& q, const std::vector<Vector>& keys,
                const std::vector<Vector>& values, std::int64_t first, std::int64_t last,
                std::optional<double> sink, DType dtype) {
  const auto width = static_cast<double>(q.size());
  const double scale = 1.0 / std::sqrt(width);
  const bool bf16 = dtype == DType::bf16;
  double sum = 0;
  double score_error = 0;
  double largest_score = 0;
  if (sink) {
    sum = std::exp(*sink);
    largest_score = std::fabs(*sink);
  }
  const double cap = attention.score_cap;
  Expected expected{Vector(q.size(), 0.0), Vector(q.size(), 0.0)};
  for (std::int64_t j = first; j <= last; ++j) {
    const Vector& key = keys[static_cast<std::size_t>(j)];
    double score = scale * dot(q, key);
    if (cap != 0) score = cap * std::tanh(score / cap);
    const double p = std::exp(score);
    sum += p;
    // Norm, rotation and chain: width + 16 roundings of |q k|, and one for the scale. A mean adds
    // as many. A cap never stretches an error; its tanh and product add a few roundings of it.
    const bool mean = attention.qk_norm && attention.norm_kind == NormKind::layer;
    const double roundings = (mean ? 2 : 1) * (width + width / 8 + 20);
    double error = roundings * kU * scale * magnitude_dot(q, key);
    // An element of each whose fp32 value lies on the other side of a rounding's border.
    if (bf16) {
      for (std::size_t i = 0; i < q.size(); ++i) {
        error = std::max(error, 2 * 2 * kUBf16 * scale * std::fabs(q[i] * key[i]));
      }
    }
    score_error = std::max(score_error, error + 8 * kU * cap);
    largest_score = std::max(largest_score, std::fabs(score));
    for (std::size_t d = 0; d < q.size(); ++d) {
      const double v = values[static_cast<std::size_t>(j)][d];
      expected.out[d] += p * v;
      expected.bound[d] += p * std::fabs(v);
    }
  }
  // p errs relatively by its exponent's error on both sides of the quotient; sums of n terms and
  // n / 64 rescalings add their roundings. In bf16 probabilities are rounded, and the result.
  const auto n = static_cast<double>(last - first + 1);
  const double relative = 2 * (2 * score_error + 6 * kU * (2 * largest_score + 1)) +
                          (2 * n + 20) * kU + (bf16 ? 2 * kUBf16 : 0);
  for (std::size_t d = 0; d < q.size(); ++d) {
    expected.out[d] /= sum;
    // The norm's relative error meets the result itself, which is no larger than this.
    expected.bound[d] = relative * expected.bound[d] / sum;
    if (bf16) expected.bound[d] += 2 * kUBf16 * (std::fabs(expected.out[d]) + expected.bound[d]);
  }
  return expected;
}

void check_attention(const AttentionCase& attention, int sequence, const Matrix& outputs,
                     DType dtype) {
  const Matrix inputs = attention_inputs(attention, sequence);
  const int width = attention.head_dim;
  const std::int64_t first_key = std::int64_t{attention.heads} * width;
  const std::int64_t first_value = first_key + std::int64_t{attention.kv_heads} * width;
  const std::vector<float> sinks = sink_scores(attention);
  const std::int64_t length = inputs.extent(0);
  int total = 0;
  int tight = 0;
  for (int h = 0; h < attention.heads; ++h) {
    const std::int64_t kv = h / (attention.heads / attention.kv_heads);
    std::vector<Vector> keys;
    std::vector<Vector> values;
    for (std::int64_t j = 0; j < length; ++j) {
      keys.push_back(kept(rotated(attention, sequence, inputs, j, first_key, kv, 2), dtype));
      values.push_back(kept(
          clamped_head(attention, head_at(attention, inputs, j, first_value + kv * width)), dtype));
    }
    for (std::int64_t t = 0; t < length; ++t) {
      const Vector q = kept(rotated(attention, sequence, inputs, t, 0, h, 1), dtype);
      const std::int64_t first =
          attention.window > 0 ? std::max<std::int64_t>(0, t - attention.window + 1) : 0;
      std::optional<double> sink;
      if (attention.sinks) sink = sinks[static_cast<std::size_t>(h)];
      const Expected expected = attend(attention, q, keys, values, first, t, sink, dtype);
      for (int d = 0; d < width; ++d) {
        const auto at = static_cast<std::size_t>(d);
        ASSERT_NEAR(outputs(t, h * width + d), expected.out[at], expected.bound[at])
            << text(attention) << " head " << h << " token " << t;
        total += 1;
        if (expected.bound[at] < 0.1) tight += 1;
      }
    }
  }
  EXPECT_GE(tight, 0.7 * total) << text(attention) << ": most bounds say nothing";
}

/// Those that set rules of their own, in both compute dtypes.
class AttentionAccuracy : public ::testing::TestWithParam<Candidate> {};

TEST_P(AttentionAccuracy, IsThatOfTheFormula) {
  TestDevice device(make_candidate(GetParam()));
  for (const AttentionCase& attention : attention_cases()) {
    const auto results = run_attention(device, attention, all_of(attention.lengths.size()));
    for (std::size_t s = 0; s < results.size(); ++s) {
      check_attention(attention, static_cast<int>(s), results[s].outputs, GetParam().dtype);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, AttentionAccuracy, ::testing::ValuesIn(rule_candidates()),
                         test_name);

/// One that sets rules of its own, in fp32.
class SequenceAccuracy : public ::testing::TestWithParam<Candidate> {};

/// The cell of one head in float64, with the same stabiliser, and bounds that grow with it.
struct Cell {
  Cell(int qk_dim, int v_dim)
      : c(static_cast<std::size_t>(qk_dim * v_dim)),
        n(static_cast<std::size_t>(qk_dim)),
        c_size(c.size()),
        n_size(n.size()) {}
  Vector c, n;
  double m = 0;
  Vector c_size, n_size;  ///< the same sums over magnitudes
  double relative = 0;    ///< error of C and n, as a part of their magnitudes
};

double capped(double x, double cap) { return cap == 0 ? x : cap * std::tanh(x / cap); }

/// One token; h [dv] before the head norm with its bound.
void step(Cell& cell, const Vector& q, const Vector& k, const Vector& v, double input,
          double forget, Vector& h, double& h_error) {
  const double a = std::min(forget, 0.0) - std::log1p(std::exp(-std::fabs(forget))) + cell.m;
  const double m = std::max(a, input);
  const double f = std::exp(a - m);
  const double i = std::exp(input - m);
  const auto qk_dim = q.size();
  const double scale = 1 / std::sqrt(static_cast<double>(qk_dim));
  h.assign(v.size(), 0.0);
  Vector h_size(v.size(), 0.0);
  double qn = 0;
  double qn_size = 0;
  for (std::size_t d = 0; d < qk_dim; ++d) {
    cell.n[d] = f * cell.n[d] + i * k[d];
    cell.n_size[d] = f * cell.n_size[d] + i * std::fabs(k[d]);
    qn += scale * q[d] * cell.n[d];
    qn_size += scale * std::fabs(q[d]) * cell.n_size[d];
    for (std::size_t b = 0; b < v.size(); ++b) {
      double& c = cell.c[d * v.size() + b];
      double& c_size = cell.c_size[d * v.size() + b];
      c = f * c + i * k[d] * v[b];
      c_size = f * c_size + i * std::fabs(k[d] * v[b]);
      h[b] += scale * q[d] * c;
      h_size[b] += scale * std::fabs(q[d]) * c_size;
    }
  }
  // A step adds the error of the exponents, two exponentials and three roundings; q and k norms
  // cost 8 + n / 16. Cap and log-sigmoid cost some 7 roundings of each gate, sums and differences
  // one or two of m; the rounding of m itself scales C, n and exp(-m) alike.
  const double exponents = std::fabs(m) + std::fabs(cell.m) + std::fabs(input) + std::fabs(forget);
  cell.relative += (7 * (exponents + 1) + 20 + static_cast<double>(qk_dim) / 16) * kU;
  cell.m = m;
  const double floor = std::exp(-m);
  const double denominator = std::max(std::fabs(qn), floor) + 1e-6;
  const double chain = cell.relative + (static_cast<double>(qk_dim) + 12) * kU;
  const double denominator_error = chain * (qn_size + floor * (std::fabs(m) + 1));
  h_error = 0;
  for (std::size_t b = 0; b < v.size(); ++b) {
    h[b] /= denominator;
    h_error = std::max(h_error, (chain * h_size[b] + std::fabs(h[b]) * denominator_error) /
                                        std::max(denominator - denominator_error, floor / 2) +
                                    kU * std::fabs(h[b]));
  }
}

void check_mlstm(const MlstmCase& mlstm, int sequence, const Matrix& outputs) {
  int total = 0;
  int tight = 0;  // where h nearly vanishes the head norm blows any rounding up, and bounds with it
  const Matrix inputs = mlstm_inputs(mlstm, sequence);
  const std::int64_t qk = mlstm.qk_dim;
  const std::int64_t dv = mlstm.v_dim;
  const std::int64_t gates = mlstm.heads * (2 * qk + dv * (mlstm.output_gate ? 2 : 1));
  const std::vector<float> weight = norm_weights(mlstm.heads * dv, 3);
  const std::vector<float> bias = norm_weights(mlstm.heads * dv, 4);
  for (int head = 0; head < mlstm.heads; ++head) {
    Cell cell(mlstm.qk_dim, mlstm.v_dim);
    Vector h;
    for (std::int64_t t = 0; t < inputs.extent(0); ++t) {
      const auto part = [&](std::int64_t first, std::int64_t width) {
        return doubles(std::span<const float>(inputs.view().row(t))
                           .subspan(static_cast<std::size_t>(first + head * width),
                                    static_cast<std::size_t>(width)));
      };
      Vector q = part(0, qk);
      Vector k = part(mlstm.heads * qk, qk);
      if (mlstm.qk_norm) {
        q = rms_normalized(q, norm_weights(qk, 1));
        k = rms_normalized(k, norm_weights(qk, 2));
      }
      double h_error = 0;
      step(cell, q, k, part(std::int64_t{2} * mlstm.heads * qk, dv),
           capped(inputs(t, gates + head), mlstm.gate_soft_cap),
           capped(inputs(t, gates + mlstm.heads + head), mlstm.gate_soft_cap), h, h_error);
      double mean = 0;
      if (mlstm.head_norm == NormKind::layer) {
        for (const double value : h) mean += value / static_cast<double>(dv);
      }
      double variance = 0;
      double largest = 0;
      for (const double value : h) {
        variance += (value - mean) * (value - mean) / static_cast<double>(dv);
        largest = std::max(largest, std::fabs(value));
      }
      const double r = 1 / std::sqrt(variance + 1e-6);
      // d errs by twice h's error, r relatively by r times that (1.1: terms of second order).
      const double d_error =
          1.1 * (2 * h_error + (static_cast<double>(dv) / 16 + 8) * kU * largest);
      for (std::int64_t b = 0; b < dv; ++b) {
        const auto at = static_cast<std::size_t>(head * dv + b);
        const double normal = (h[static_cast<std::size_t>(b)] - mean) * r;
        const double spread = 1 + std::fabs(normal);
        double y = normal * weight[at];
        if (mlstm.norm_bias) y += bias[at];
        double bound = (r * spread * d_error + (static_cast<double>(dv) / 16 + 16) * kU * spread) *
                           std::fabs(weight[at]) +
                       2 * kU * std::fabs(y);
        if (mlstm.output_gate) {
          const double o = inputs(t, (std::int64_t{2} * qk + dv) * mlstm.heads + head * dv + b);
          y /= 1 + std::exp(-o);
        }
        ASSERT_NEAR(outputs(t, head * dv + b), y, bound)
            << text(mlstm) << " head " << head << " token " << t << " r " << r;
        total += 1;
        if (bound < 0.01 * spread) tight += 1;
      }
    }
  }
  EXPECT_GE(tight, 0.5 * total) << text(mlstm) << ": most bounds say nothing";
}

TEST_P(SequenceAccuracy, Mlstm) {
  TestDevice device(make_candidate(GetParam()));
  for (const MlstmCase& mlstm : mlstm_cases()) {
    const auto results = run_mlstm(device, mlstm, all_of(mlstm.lengths.size()));
    for (std::size_t s = 0; s < results.size(); ++s) {
      check_mlstm(mlstm, static_cast<int>(s), results[s].outputs);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Rules, SequenceAccuracy, ::testing::Values(rule_candidates()[0]),
                         test_name);

}  // namespace
}  // namespace gridmill::testing
