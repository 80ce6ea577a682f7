#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "gridmill/base/numerics.hpp"
#include "unit/kernels/sequence_cases.hpp"

// Sections 4 to 6 of docs/numerics.md a second time, with switches that break one rule each; see
// mutation_test.cpp.
namespace gridmill::testing {
namespace {

enum class Mutation {
  none,
  short_blocks,     ///< attention: blocks of 32 keys
  relative_blocks,  ///< attention: blocks start at the first visible key
  scale_in_query,   ///< attention: q * scale before the dot
  serial_sum,       ///< attention: one chain instead of 16 lanes
  split_rescale,    ///< attention: l c + sum with two roundings
  split_rotation,   ///< attention: rotation with two roundings
  wide_state,       ///< mLSTM: f C + i k v with three roundings
  late_scale,       ///< mLSTM: 1 / sqrt(dqk) behind the sums
  early_sink,       ///< attention: the sink is the first score, not the last
  late_clip,        ///< attention: clamps behind the rotation
  old_state,        ///< mLSTM: h read from C before the token
  reciprocal,       ///< mLSTM: h times 1 / d
};

float rounded(float value, DType dtype) {
  return dtype == DType::bf16 ? bf16_to_fp32(fp32_to_bf16(value)) : value;
}

/// rms norm of one head, weight as in the suite.
void normalize(std::vector<float>& x, const std::vector<float>& weight) {
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < x.size(); ++i) lanes[i % 16] = std::fma(x[i], x[i], lanes[i % 16]);
  const float r = 1.0F / std::sqrt(lane_tree_sum(lanes) / static_cast<float>(x.size()) + 1e-6F);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = (x[i] * r) * weight[i];
}

std::vector<float> head_of(const Matrix& inputs, std::int64_t token, std::int64_t first,
                           int width) {
  const auto row = inputs.view().row(token).subspan(static_cast<std::size_t>(first),
                                                    static_cast<std::size_t>(width));
  return {row.begin(), row.end()};
}

void clamp(std::vector<float>& x, float clip) {
  if (clip == 0) return;
  for (float& value : x) value = std::clamp(value, -clip, clip);
}

/// Norm, clamp, rotation and rounding of head `head` of the queries (norm_seed 1) or keys (2).
std::vector<float> prepared(const AttentionCase& attention, int sequence, std::vector<float> x,
                            std::int64_t position, int head, std::uint32_t norm_seed, DType dtype,
                            Mutation mutation) {
  const auto width = static_cast<std::ptrdiff_t>(x.size());
  if (attention.qk_norm) {
    const int heads = norm_seed == 1 ? attention.heads : attention.kv_heads;
    const std::vector<float> all =
        norm_weights(attention.own_norms ? heads * width : width, norm_seed);
    const auto begin = all.begin() + (attention.own_norms ? head * width : 0);
    if (attention.norm_kind == NormKind::layer) {
      const float mean = lane_sum(x) / static_cast<float>(x.size());
      for (float& value : x) value = value - mean;
    }
    normalize(x, std::vector<float>(begin, begin + width));
  }
  if (mutation != Mutation::late_clip) clamp(x, attention.clip);
  const double theta = attention.long_rows && sequence % 2 == 1 ? 1000 : 100;
  const Matrix row = rotary_row(static_cast<int>(position), attention.rotated(), theta);
  const auto half = static_cast<std::size_t>(attention.rotated() / 2);
  for (std::size_t i = 0; i < half; ++i) {
    const float cosine = row(0, static_cast<std::int64_t>(i));
    const float sine = row(0, static_cast<std::int64_t>(i + half));
    const float a = x[i];
    const float b = x[i + half];
    if (mutation == Mutation::split_rotation) {
      x[i] = a * cosine - b * sine;
      x[i + half] = b * cosine + a * sine;
    } else {
      x[i] = std::fma(a, cosine, -(b * sine));
      x[i + half] = std::fma(b, cosine, a * sine);
    }
  }
  if (mutation == Mutation::late_clip) clamp(x, attention.clip);
  for (float& value : x) value = rounded(value, dtype);
  return x;
}

float dot(const std::vector<float>& a, const std::vector<float>& b, DType dtype) {
  float sum = 0.0F;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const std::size_t k = dtype == DType::bf16 ? (i ^ 1U) : i;  // odd one of a pair first
    sum = std::fma(a[k], b[k], sum);
  }
  return sum;
}

Matrix contract_attention(const AttentionCase& attention, int sequence, DType dtype,
                          Mutation mutation) {
  const Matrix inputs = attention_inputs(attention, sequence);
  const int width = attention.head_dim;
  const std::int64_t keys = attention.heads * width;
  const std::int64_t values = keys + attention.kv_heads * width;
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  const std::vector<float> sinks = sink_scores(attention);
  const std::int64_t block_size = mutation == Mutation::short_blocks ? 32 : 64;
  Matrix out({inputs.extent(0), keys});
  for (int h = 0; h < attention.heads; ++h) {
    const int kv = h / (attention.heads / attention.kv_heads);
    std::vector<std::vector<float>> k;
    std::vector<std::vector<float>> v;
    for (std::int64_t j = 0; j < inputs.extent(0); ++j) {
      k.push_back(prepared(attention, sequence, head_of(inputs, j, keys + kv * width, width), j, kv,
                           2, dtype, mutation));
      v.push_back(head_of(inputs, j, values + kv * width, width));
      clamp(v.back(), attention.clip);
      for (float& value : v.back()) value = rounded(value, dtype);
    }
    for (std::int64_t t = 0; t < inputs.extent(0); ++t) {
      std::vector<float> q = prepared(attention, sequence, head_of(inputs, t, h * width, width), t,
                                      h, 1, dtype, mutation);
      if (mutation == Mutation::scale_in_query) {
        for (float& value : q) value *= scale;
      }
      const auto visible = [&](std::int64_t j) {
        return j <= t && (attention.window == 0 || j > t - attention.window);
      };
      std::int64_t origin = 0;
      if (mutation == Mutation::relative_blocks) {
        while (!visible(origin)) ++origin;
      }
      float m = -std::numeric_limits<float>::infinity();
      float l = 0.0F;
      std::vector<float> o(static_cast<std::size_t>(width), 0.0F);
      const auto add_sink = [&] {
        const float sink = sinks[static_cast<std::size_t>(h)];
        const float largest = std::max(m, sink);
        const float c = exp_f32(m - largest);
        l = std::fma(l, c, exp_f32(sink - largest));
        for (float& value : o) value = value * c;
        m = largest;
      };
      if (attention.sinks && mutation == Mutation::early_sink) add_sink();
      for (std::int64_t begin = origin; begin <= t; begin += block_size) {
        std::vector<std::int64_t> seen;
        for (std::int64_t j = begin; j < begin + block_size; ++j) {
          if (visible(j)) seen.push_back(j);
        }
        if (seen.empty()) continue;
        std::vector<float> p;
        float largest = m;
        for (const std::int64_t j : seen) {
          float s = dot(q, k[static_cast<std::size_t>(j)], dtype);
          if (mutation != Mutation::scale_in_query) s = s * scale;
          s = soft_cap_f32(s, attention.score_cap);
          p.push_back(s);
          largest = std::max(largest, s);
        }
        std::array<float, 16> lanes{};
        for (std::size_t i = 0; i < seen.size(); ++i) {
          p[i] = exp_f32(p[i] - largest);
          const std::size_t lane =
              mutation == Mutation::serial_sum ? 0 : static_cast<std::size_t>(seen[i] % 16);
          lanes[lane] = lanes[lane] + p[i];
        }
        const float c = exp_f32(m - largest);
        l = mutation == Mutation::split_rescale ? l * c + lane_tree_sum(lanes)
                                                : std::fma(l, c, lane_tree_sum(lanes));
        for (std::size_t d = 0; d < o.size(); ++d) {
          o[d] = o[d] * c;
          for (std::size_t i = 0; i < seen.size(); ++i) {
            o[d] = std::fma(p[i], v[static_cast<std::size_t>(seen[i])][d], o[d]);
          }
        }
        m = largest;
      }
      if (attention.sinks && mutation != Mutation::early_sink) add_sink();
      for (std::size_t d = 0; d < o.size(); ++d) {
        out(t, h * width + static_cast<std::int64_t>(d)) = rounded(o[d] / l, dtype);
      }
    }
  }
  return out;
}

/// Head norm of the suite over h, columns [first, ...) of the weights.
void head_norm(std::vector<float>& h, const MlstmCase& mlstm, std::size_t first) {
  const std::int64_t width = mlstm.heads * mlstm.v_dim;
  const std::vector<float> weight = norm_weights(width, 3);
  const std::vector<float> bias = norm_weights(width, 4);
  const auto n = static_cast<float>(h.size());
  if (mlstm.head_norm == NormKind::layer) {
    const float mean = lane_sum(h) / n;
    for (float& value : h) value = value - mean;
  }
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < h.size(); ++i) lanes[i % 16] = std::fma(h[i], h[i], lanes[i % 16]);
  const float r = 1.0F / std::sqrt(lane_tree_sum(lanes) / n + 1e-6F);
  for (std::size_t i = 0; i < h.size(); ++i) {
    const float normal = h[i] * r;
    h[i] = mlstm.norm_bias ? std::fma(normal, weight[first + i], bias[first + i])
                           : normal * weight[first + i];
  }
}

SequenceResult contract_mlstm(const MlstmCase& mlstm, int sequence, DType dtype,
                              Mutation mutation) {
  const Matrix inputs = mlstm_inputs(mlstm, sequence);
  const auto dqk = static_cast<std::size_t>(mlstm.qk_dim);
  const auto dv = static_cast<std::size_t>(mlstm.v_dim);
  const std::int64_t v_at = 2 * mlstm.heads * mlstm.qk_dim;
  const std::int64_t o_at = v_at + mlstm.heads * mlstm.v_dim;
  const std::int64_t gates = o_at + (mlstm.output_gate ? mlstm.heads * mlstm.v_dim : 0);
  const float scale = 1.0F / std::sqrt(static_cast<float>(mlstm.qk_dim));
  SequenceResult result{Matrix({inputs.extent(0), mlstm.heads * mlstm.v_dim}), {}};
  // The suite runs layer 1 of 2: layer 0 of the saved state stays zero.
  result.state.assign(static_cast<std::size_t>(mlstm.heads) * (dqk * dv + dqk + 1), 0.0F);
  for (int head = 0; head < mlstm.heads; ++head) {
    std::vector<float> c(dqk * dv, 0.0F);
    std::vector<float> n(dqk, 0.0F);
    float m = 0.0F;
    for (std::int64_t t = 0; t < inputs.extent(0); ++t) {
      std::vector<float> q = head_of(inputs, t, head * mlstm.qk_dim, mlstm.qk_dim);
      std::vector<float> k = head_of(inputs, t, (mlstm.heads + head) * mlstm.qk_dim, mlstm.qk_dim);
      const std::vector<float> v = head_of(inputs, t, v_at + head * mlstm.v_dim, mlstm.v_dim);
      if (mlstm.qk_norm) {
        normalize(q, norm_weights(mlstm.qk_dim, 1));
        normalize(k, norm_weights(mlstm.qk_dim, 2));
      }
      const float i_gate = soft_cap_f32(inputs(t, gates + head), mlstm.gate_soft_cap);
      const float f_gate = soft_cap_f32(inputs(t, gates + mlstm.heads + head), mlstm.gate_soft_cap);
      const float a = log_sigmoid_f32(f_gate) + m;
      m = std::max(a, i_gate);
      const float f = exp_f32(a - m);
      const float i = exp_f32(i_gate - m);
      const std::vector<float> before = c;
      std::array<float, 16> lanes{};
      for (std::size_t d = 0; d < dqk; ++d) {
        const float ik = i * k[d];
        if (mutation != Mutation::late_scale) q[d] = q[d] * scale;
        n[d] = std::fma(f, n[d], ik);
        for (std::size_t b = 0; b < dv; ++b) {
          float& value = c[d * dv + b];
          value = mutation == Mutation::wide_state ? f * value + ik * v[b]
                                                   : std::fma(f, value, ik * v[b]);
        }
        lanes[d % 16] = std::fma(q[d], n[d], lanes[d % 16]);
      }
      float qn = lane_tree_sum(lanes);
      if (mutation == Mutation::late_scale) qn = qn * scale;
      const float denominator = std::max(std::fabs(qn), exp_f32(-m)) + 1e-6F;
      std::vector<float> h(dv, 0.0F);
      const std::vector<float>& read = mutation == Mutation::old_state ? before : c;
      for (std::size_t b = 0; b < dv; ++b) {
        for (std::size_t d = 0; d < dqk; ++d) h[b] = std::fma(q[d], read[d * dv + b], h[b]);
        if (mutation == Mutation::late_scale) h[b] = h[b] * scale;
        h[b] = mutation == Mutation::reciprocal ? h[b] * (1.0F / denominator) : h[b] / denominator;
      }
      head_norm(h, mlstm, static_cast<std::size_t>(head) * dv);
      for (std::size_t b = 0; b < dv; ++b) {
        const std::int64_t column = head * mlstm.v_dim + static_cast<std::int64_t>(b);
        if (mlstm.output_gate) h[b] = sigmoid_f32(inputs(t, o_at + column)) * h[b];
        result.outputs(t, column) = rounded(h[b], dtype);
      }
    }
    result.state.insert(result.state.end(), c.begin(), c.end());
    result.state.insert(result.state.end(), n.begin(), n.end());
    result.state.push_back(m);
  }
  return result;
}

/// Number of the suite's sequences in which the mutated contract differs from the reference.
int caught_in_attention(DType dtype, Mutation mutation) {
  TestDevice device(make_backend("reference", {.compute_dtype = dtype}));
  int caught = 0;
  for (const AttentionCase& attention : attention_cases()) {
    const auto results = run_attention(device, attention, all_of(attention.lengths.size()));
    for (std::size_t s = 0; s < results.size(); ++s) {
      const Matrix expected = contract_attention(attention, static_cast<int>(s), dtype, mutation);
      if (!same_bits(results[s].outputs, expected)) ++caught;
    }
  }
  return caught;
}

int caught_in_mlstm(DType dtype, Mutation mutation) {
  TestDevice device(make_backend("reference", {.compute_dtype = dtype}));
  int caught = 0;
  for (const MlstmCase& mlstm : mlstm_cases()) {
    const auto results = run_mlstm(device, mlstm, all_of(mlstm.lengths.size()));
    for (std::size_t s = 0; s < results.size(); ++s) {
      const SequenceResult expected = contract_mlstm(mlstm, static_cast<int>(s), dtype, mutation);
      if (!same_bits({results[s]}, std::vector<SequenceResult>{expected})) ++caught;
    }
  }
  return caught;
}

TEST(SequenceContract, ReadASecondTimeGivesTheBitsOfTheReference) {
  for (const DType dtype : {DType::fp32, DType::bf16}) {
    EXPECT_EQ(caught_in_attention(dtype, Mutation::none), 0);
    EXPECT_EQ(caught_in_mlstm(dtype, Mutation::none), 0);
  }
}

TEST(SequenceSuite, CatchesEveryMutationOfTheAttention) {
  for (const Mutation mutation :
       {Mutation::short_blocks, Mutation::relative_blocks, Mutation::scale_in_query,
        Mutation::serial_sum, Mutation::split_rescale, Mutation::split_rotation,
        Mutation::early_sink, Mutation::late_clip}) {
    EXPECT_GT(caught_in_attention(DType::fp32, mutation), 0) << static_cast<int>(mutation);
  }
}

TEST(SequenceSuite, CatchesEveryMutationOfTheMlstm) {
  for (const Mutation mutation :
       {Mutation::wide_state, Mutation::late_scale, Mutation::old_state, Mutation::reciprocal}) {
    EXPECT_GT(caught_in_mlstm(DType::fp32, mutation), 0) << static_cast<int>(mutation);
  }
}

}  // namespace
}  // namespace gridmill::testing
