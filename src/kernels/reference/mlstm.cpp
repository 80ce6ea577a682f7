#include <cmath>
#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/mlstm_state.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::reference {

using namespace kernels_detail;

namespace {

/// Columns of the input matrix (backend.hpp).
struct Columns {
  explicit Columns(const Mlstm& mlstm)
      : k(mlstm.heads * mlstm.qk_dim),
        v(2 * k),
        o(v + mlstm.heads * mlstm.v_dim),
        input_gate(o + (mlstm.output_gate ? mlstm.heads * mlstm.v_dim : 0)),
        forget_gate(input_gate + mlstm.heads) {}
  int k;
  int v;
  int o;
  int input_gate;
  int forget_gate;
};

/// The recurrence of one layer, token by token; docs/numerics.md, section 6.
class Cell {
 public:
  explicit Cell(const Mlstm& mlstm)
      : mlstm_(mlstm),
        columns_(mlstm),
        q_(static_cast<std::size_t>(mlstm.qk_dim)),
        k_(static_cast<std::size_t>(mlstm.qk_dim)) {}

  /// One token of head `head`; h [dv] = the cell's output behind the head norm.
  void step(const float* row, int head, const MlstmHeadState& state, float* h) {
    const int qk_dim = mlstm_.qk_dim;
    const int v_dim = mlstm_.v_dim;
    copy_normalized(row + head * qk_dim, mlstm_.q_norm, q_);
    copy_normalized(row + columns_.k + head * qk_dim, mlstm_.k_norm, k_);
    const float* v = row + columns_.v + head * v_dim;
    const float input = soft_cap_f32(row[columns_.input_gate + head], mlstm_.gate_soft_cap);
    const float forget = soft_cap_f32(row[columns_.forget_gate + head], mlstm_.gate_soft_cap);

    const float a = log_sigmoid_f32(forget) + *state.m;
    const float m = larger(a, input);
    const float f = exp_f32(a - m);
    const float i = exp_f32(input - m);
    const float scale = 1.0F / std::sqrt(static_cast<float>(qk_dim));
    for (int b = 0; b < v_dim; ++b) h[b] = 0.0F;
    for (int d = 0; d < qk_dim; ++d) {
      const auto index = static_cast<std::size_t>(d);
      float* c = state.c + static_cast<std::ptrdiff_t>(d) * v_dim;
      const float ik = i * k_[index];
      q_[index] = q_[index] * scale;
      state.n[d] = std::fma(f, state.n[d], ik);
      fma_loops().decay_add(f, ik, v, c, v_dim);
      fma_loops().multiply_add(q_[index], c, h, v_dim);
    }
    Lanes lanes{};
    fma_loops().lanes_of_products(q_.data(), state.n, qk_dim, lanes);
    const float normalizer = std::fabs(lane_tree_sum(lanes));
    const float denominator = larger(normalizer, exp_f32(-m)) + mlstm_.denominator_eps;
    for (int b = 0; b < v_dim; ++b) h[b] = h[b] / denominator;
    *state.m = m;
    normalize(head_norm(head), h, v_dim, h);
  }

  /// h [dv] = sigmoid(o) h.
  void gate(const float* row, int head, float* h) const {
    const float* o = row + columns_.o + head * mlstm_.v_dim;
    for (int b = 0; b < mlstm_.v_dim; ++b) h[b] = sigmoid_f32(o[b]) * h[b];
  }

 private:
  void copy_normalized(const float* x, ConstDeviceVector weight, std::vector<float>& out) const {
    out.assign(x, x + mlstm_.qk_dim);
    if (weight.empty()) return;
    normalize(
        {.kind = mlstm_.qk_norm_kind, .eps = mlstm_.qk_norm_eps, .weight = weight, .bias = {}},
        out.data(), mlstm_.qk_dim, out.data());
  }

  /// The head's part of the norm over [H dv].
  [[nodiscard]] Norm head_norm(int head) const {
    Norm norm = mlstm_.head_norm;
    const std::int64_t first = static_cast<std::int64_t>(head) * mlstm_.v_dim;
    if (!norm.weight.empty()) norm.weight = {norm.weight.data + first, mlstm_.v_dim};
    if (!norm.bias.empty()) norm.bias = {norm.bias.data + first, mlstm_.v_dim};
    return norm;
  }

  const Mlstm& mlstm_;
  Columns columns_;
  std::vector<float> q_;
  std::vector<float> k_;
};

/// Calls write(row, head, h) for every token and head of the spans.
template <typename Write>
void run(std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer, ConstDeviceMatrix inputs,
         MlstmState& state, bool gated, Write write) {
  const auto* slots = dynamic_cast<const ReferenceMlstmState*>(&state);
  GRIDMILL_ASSERT(slots != nullptr, "the state belongs to another backend");
  check_mlstm(mlstm, inputs, slots->shape());
  check_spans(spans, inputs.rows);
  Cell cell(mlstm);
  std::vector<float> h(static_cast<std::size_t>(mlstm.v_dim));
  for (const TokenSpan& span : spans) {
    for (int head = 0; head < mlstm.heads; ++head) {
      const MlstmHeadState head_state = slots->head(layer, span.slot, head);
      for (std::int64_t row = span.row; row < span.row + span.tokens; ++row) {
        const float* values = inputs.data + row * inputs.stride;
        cell.step(values, head, head_state, h.data());
        if (gated) cell.gate(values, head, h.data());
        write(row, head, h.data());
      }
    }
  }
}

}  // namespace

void ReferenceBackend::mlstm(Stream& /*stream*/, std::span<const TokenSpan> spans,
                             const Mlstm& mlstm, int layer, ConstDeviceMatrix inputs,
                             MlstmState& state, PackedRows out) {
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.inputs == mlstm.heads * mlstm.v_dim,
                  "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  run(spans, mlstm, layer, inputs, state, mlstm.output_gate,
      [&](std::int64_t row, int head, const float* h) {
        write_packed(out, row, head * mlstm.v_dim, h, mlstm.v_dim, dtype_);
      });
}

void ReferenceBackend::mlstm_unpacked(Stream& /*stream*/, std::span<const TokenSpan> spans,
                                      const Mlstm& mlstm, int layer, ConstDeviceMatrix inputs,
                                      MlstmState& state, DeviceMatrix out) {
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.columns == mlstm.heads * mlstm.v_dim,
                  "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  run(spans, mlstm, layer, inputs, state, false, [&](std::int64_t row, int head, const float* h) {
    float* target = out.data + row * out.stride + head * mlstm.v_dim;
    for (int b = 0; b < mlstm.v_dim; ++b) target[b] = h[b];
  });
}

}  // namespace gridmill::reference
