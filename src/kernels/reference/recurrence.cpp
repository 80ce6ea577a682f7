#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"
#include "kernels/recurrent_state.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"
#include "kernels/sequence_checks.hpp"

// docs/numerics.md, section 6b.
namespace gridmill::reference {

using namespace kernels_detail;

namespace {

const float* row_of(const ConstDeviceMatrix& x, std::int64_t row) {
  return x.data + row * x.stride;
}

/// The norm of part `group` of a row.
Norm norm_of_group(const Norm& norm, std::int64_t group, std::int64_t width) {
  Norm part = norm;
  if (norm.weight.size > width) part.weight = {norm.weight.data + group * width, width};
  return part;
}

/// out = norm of each of `groups` parts of x, `columns` values in all; `out` may be x.
void normalize_groups(const Norm& norm, int groups, const float* x, std::int64_t columns,
                      float* out) {
  const std::int64_t width = columns / groups;
  for (int group = 0; group < groups; ++group) {
    normalize(norm_of_group(norm, group, width), x + group * width, width, out + group * width);
  }
}

/// One head of linear_recurrence, token by token.
class Head {
 public:
  Head(const LinearRecurrence& options, const RecurrenceInputs& inputs, int head, float* state)
      : options_(options),
        inputs_(inputs),
        head_(head),
        key_head_(head / (options.heads / options.key_heads)),
        state_(state),
        values_(static_cast<std::size_t>(options.value_width)) {}

  void step(std::int64_t row, float* h) {
    const float* q = row_of(inputs_.q, row) + key_head_ * options_.key_width;
    const float* k = row_of(inputs_.k, row) + key_head_ * options_.key_width;
    const float* v = row_of(inputs_.v, row) + head_ * options_.value_width;
    const float strength = row_of(inputs_.strength, row)[head_];
    if (options_.update == RecurrenceUpdate::delta) decay_and_correct(row, k, v, strength);
    std::fill(h, h + options_.value_width, 0.0F);
    for (int a = 0; a < options_.key_width; ++a) {
      float* s = row_of_state(a);
      if (options_.update == RecurrenceUpdate::delta) {
        fma_loops().multiply_add(k[a], values_.data(), s, options_.value_width);
      } else {
        fma_loops().decay_add(decay(row, a), strength * k[a], v, s, options_.value_width);
      }
      fma_loops().multiply_add(options_.query_scale * q[a], s, h, options_.value_width);
    }
    if (!options_.skip.empty()) {
      fma_loops().multiply_add(options_.skip.data[head_], v, h, options_.value_width);
    }
  }

 private:
  [[nodiscard]] float decay(std::int64_t row, int a) const {
    const float* factors = row_of(inputs_.decay, row);
    return options_.decay == DecayScope::key
               ? factors[static_cast<std::int64_t>(head_) * options_.key_width + a]
               : factors[head_];
  }
  [[nodiscard]] float* row_of_state(int a) const {
    return state_ + static_cast<std::int64_t>(a) * options_.value_width;
  }
  /// S = decay S; values = strength (v - S^T k).
  void decay_and_correct(std::int64_t row, const float* k, const float* v, float strength) {
    std::fill(values_.begin(), values_.end(), 0.0F);
    for (int a = 0; a < options_.key_width; ++a) {
      float* s = row_of_state(a);
      const float factor = decay(row, a);
      for (int b = 0; b < options_.value_width; ++b) s[b] = factor * s[b];
      fma_loops().multiply_add(k[a], s, values_.data(), options_.value_width);
    }
    for (int b = 0; b < options_.value_width; ++b) {
      float& value = values_[static_cast<std::size_t>(b)];
      value = strength * (v[b] - value);
    }
  }

  const LinearRecurrence& options_;
  const RecurrenceInputs& inputs_;
  int head_;
  std::int64_t key_head_;
  float* state_;
  std::vector<float> values_;
};

/// One token of one head of an sLSTM cell; y, c, n and m of the head are `width` apart in `state`.
void slstm_step(const Slstm& cell, const float* inputs, int head, float* state,
                std::vector<float>& raw, float* out) {
  const std::int64_t hd = cell.head_width;
  const std::int64_t width = cell.heads * hd;
  float* y = state + head * hd;
  float* c = y + width;
  float* n = c + width;
  float* m = n + width;
  std::fill(raw.begin(), raw.end(), 0.0F);
  for (std::int64_t i = 0; i < hd; ++i) {
    fma_loops().multiply_add(y[i], cell.recurrent.data + (head * hd + i) * 4 * hd, raw.data(),
                             4 * hd);
  }
  for (std::int64_t gate = 0; gate < 4; ++gate) {
    for (std::int64_t o = 0; o < hd; ++o) {
      const std::int64_t column = gate * width + head * hd + o;
      float& value = raw[static_cast<std::size_t>(gate * hd + o)];
      value = (inputs[column] + value) + cell.bias.data[column];
    }
  }
  for (std::int64_t o = 0; o < hd; ++o) {
    const auto at = [&](std::int64_t gate) { return raw[static_cast<std::size_t>(gate * hd + o)]; };
    const bool first = n[o] == 0.0F;
    const float a = m[o] + log_sigmoid_f32(at(1));
    const float peak = first ? at(0) : larger(a, at(0));
    const float input = exp_f32(at(0) - peak);
    const float forget = first ? 0.0F : exp_f32(a - peak);
    c[o] = std::fma(forget, c[o], input * tanh_f32(at(2)));
    n[o] = std::fma(forget, n[o], input);
    m[o] = peak;
    y[o] = sigmoid_f32(at(3)) * c[o] / n[o];
    out[o] = y[o];
  }
}

}  // namespace

void ReferenceBackend::short_convolution(Stream& /*stream*/, std::span<const TokenSpan> spans,
                                         const ShortConvolution& convolution, int layer,
                                         ConstDeviceMatrix x, RecurrentState& state,
                                         DeviceMatrix out) {
  const HostRecurrentState& slots = host_recurrent_state(state);
  check_convolution(convolution, x, slots.shape(), out);
  check_spans(spans, x.rows);
  const FloatModeScope mode(dtype_);
  const int kept = convolution.taps - 1;
  const std::int64_t channels = x.columns;
  for (const TokenSpan& span : spans) {
    float* tail = slots.layer(layer, span.slot) + slots.shape().tail_offset();
    for (std::int64_t row = span.row; row < span.row + span.tokens; ++row) {
      const float* now = row_of(x, row);
      for (std::int64_t c = 0; c < channels; ++c) {
        float sum = 0.0F;
        for (int tap = 0; tap < convolution.taps; ++tap) {
          const float value = tap < kept ? tail[tap * channels + c] : now[c];
          sum = std::fma(value, convolution.weights.data[tap * channels + c], sum);
        }
        if (!convolution.bias.empty()) sum = sum + convolution.bias.data[c];
        out.data[row * out.stride + c] = activate_f32(convolution.activation, sum);
      }
      if (kept == 0) continue;
      std::copy(tail + channels, tail + kept * channels, tail);
      std::copy(now, now + channels, tail + (kept - 1) * channels);
    }
  }
}

void ReferenceBackend::decay_gates(Stream& /*stream*/, ConstDeviceMatrix x,
                                   ConstDeviceMatrix strength, const DecayGates& gates,
                                   DeviceMatrix out) {
  check_decay_gates(gates, x, strength, out);
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    float* to = out.data + row * out.stride;
    for (std::int64_t h = 0; h < x.columns; ++h) {
      const float t = -log_sigmoid_f32(-(row_of(x, row)[h] + gates.bias.data[h]));
      to[h] = exp_f32(-exp_f32(gates.a_log.data[h]) * t);
      to[x.columns + h] = strength.data == nullptr ? t : sigmoid_f32(row_of(strength, row)[h]);
    }
  }
}

void ReferenceBackend::norm_groups(Stream& /*stream*/, ConstDeviceMatrix x, const Norm& norm,
                                   int groups, DeviceMatrix out) {
  check_group_norm(norm, groups, x.columns);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    normalize_groups(norm, groups, row_of(x, row), x.columns, out.data + row * out.stride);
  }
}

void ReferenceBackend::linear_recurrence(Stream& /*stream*/, std::span<const TokenSpan> spans,
                                         const LinearRecurrence& recurrence, int layer,
                                         const RecurrenceInputs& inputs, RecurrentState& state,
                                         DeviceMatrix out) {
  const HostRecurrentState& slots = host_recurrent_state(state);
  check_recurrence(recurrence, inputs, slots.shape(), out);
  check_spans(spans, out.rows);
  const FloatModeScope mode(dtype_);
  const std::int64_t size = std::int64_t{recurrence.key_width} * recurrence.value_width;
  for (const TokenSpan& span : spans) {
    for (int head = 0; head < recurrence.heads; ++head) {
      Head steps(recurrence, inputs, head, slots.layer(layer, span.slot) + head * size);
      for (std::int64_t row = span.row; row < span.row + span.tokens; ++row) {
        steps.step(row, out.data + row * out.stride +
                            static_cast<std::int64_t>(head) * recurrence.value_width);
      }
    }
  }
}

void ReferenceBackend::gated_norm_pack(Stream& /*stream*/, ConstDeviceMatrix y, ConstDeviceMatrix z,
                                       const GatedNorm& gated, PackedRows out) {
  check_gated_norm(gated, y, z, out);
  const FloatModeScope mode(dtype_);
  const auto width = static_cast<std::size_t>(y.columns);
  std::vector<float> values(width);
  for (std::int64_t row = 0; row < y.rows; ++row) {
    values.assign(row_of(y, row), row_of(y, row) + y.columns);
    const auto gate = [&] {
      if (z.data == nullptr) return;
      for (std::size_t i = 0; i < width; ++i) {
        values[i] = values[i] * activate_f32(gated.activation, row_of(z, row)[i]);
      }
    };
    if (gated.gate_first) gate();
    if (gated.groups > 0) {
      normalize_groups(gated.norm, gated.groups, values.data(), y.columns, values.data());
    }
    if (!gated.gate_first) gate();
    write_packed(out, row, 0, values.data(), y.columns, dtype_);
  }
}

void ReferenceBackend::slstm(Stream& /*stream*/, std::span<const TokenSpan> spans,
                             const Slstm& cell, int layer, ConstDeviceMatrix inputs,
                             RecurrentState& state, DeviceMatrix out) {
  const HostRecurrentState& slots = host_recurrent_state(state);
  check_slstm(cell, inputs, slots.shape(), out);
  check_spans(spans, inputs.rows);
  const FloatModeScope mode(dtype_);
  std::vector<float> raw(static_cast<std::size_t>(4 * cell.head_width));
  for (const TokenSpan& span : spans) {
    float* cells = slots.layer(layer, span.slot) + slots.shape().cell_offset();
    for (std::int64_t row = span.row; row < span.row + span.tokens; ++row) {
      for (int head = 0; head < cell.heads; ++head) {
        slstm_step(cell, row_of(inputs, row), head, cells, raw,
                   out.data + row * out.stride + static_cast<std::int64_t>(head) * cell.head_width);
      }
    }
  }
}

}  // namespace gridmill::reference
