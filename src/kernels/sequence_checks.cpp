#include "kernels/sequence_checks.hpp"

#include <algorithm>
#include <vector>

#include "gridmill/base/check.hpp"

namespace gridmill::kernels_detail {

void check_spans(std::span<const TokenSpan> spans, std::int64_t rows) {
  std::vector<SlotId> slots;
  for (const TokenSpan& span : spans) {
    GRIDMILL_ASSERT(
        span.tokens >= 0 && span.position >= 0 && span.row >= 0 && span.row + span.tokens <= rows,
        "a span lies outside the batch");
    slots.push_back(span.slot);
  }
  std::sort(slots.begin(), slots.end());
  GRIDMILL_ASSERT(std::adjacent_find(slots.begin(), slots.end()) == slots.end(),
                  "a slot occurs twice in one batch");
}

void check_positions(const TokenSpan& span, const Attention& attention) {
  const ConstDeviceMatrix& rotary = attention.rotary_of(span);
  GRIDMILL_ASSERT(rotary.data == nullptr || span.position + span.tokens <= rotary.rows,
                  "the rotary table is too short");
}

void check_attention(const Attention& attention, const DeviceMatrix& qkv, const KvCacheShape& cache,
                     const PackedRows& out) {
  const std::int64_t head_dim = attention.head_dim;
  GRIDMILL_ASSERT(attention.kv_heads > 0 && attention.heads % attention.kv_heads == 0,
                  "kv heads have to divide the heads");
  GRIDMILL_ASSERT(head_dim > 0, "a head needs components");
  GRIDMILL_ASSERT(cache.kv_heads == attention.kv_heads && cache.head_dim == head_dim,
                  "the cache has another shape");
  const int query_columns = attention.output_gate ? 2 * attention.heads : attention.heads;
  GRIDMILL_ASSERT(qkv.columns == (query_columns + 2 * attention.kv_heads) * head_dim,
                  "wrong number of qkv columns");
  GRIDMILL_ASSERT(out.rows == qkv.rows && out.inputs == attention.heads * head_dim,
                  "wrong shape of the result");
  const auto is_head_norm = [&](const ConstDeviceVector& norm, int heads) {
    return norm.empty() || norm.size == head_dim || norm.size == heads * head_dim;
  };
  GRIDMILL_ASSERT(is_head_norm(attention.q_norm, attention.heads), "wrong size of the query norm");
  GRIDMILL_ASSERT(is_head_norm(attention.k_norm, attention.kv_heads), "wrong size of the key norm");
  GRIDMILL_ASSERT(attention.sinks.empty() || attention.sinks.size == attention.heads,
                  "wrong number of sinks");
  for (const ConstDeviceMatrix& rotary : {attention.rotary, attention.long_rotary}) {
    GRIDMILL_ASSERT(
        rotary.data == nullptr || (rotary.columns <= head_dim && rotary.columns % 2 == 0),
        "wrong width of the rotary table");
  }
}

void check_scale_add(const ConstDeviceMatrix& y, const DeviceMatrix& x) {
  GRIDMILL_ASSERT(y.data == nullptr || (y.rows == x.rows && y.columns == x.columns),
                  "what is added has another shape");
}

void check_mlstm(const Mlstm& mlstm, const ConstDeviceMatrix& inputs,
                 const MlstmStateShape& state) {
  const std::int64_t heads = mlstm.heads;
  const std::int64_t width = heads * mlstm.v_dim;
  GRIDMILL_ASSERT(
      state.heads == mlstm.heads && state.qk_dim == mlstm.qk_dim && state.v_dim == mlstm.v_dim,
      "the state has another shape");
  GRIDMILL_ASSERT(
      inputs.columns == 2 * heads * mlstm.qk_dim + (mlstm.output_gate ? 2 : 1) * width + 2 * heads,
      "wrong number of input columns");
  GRIDMILL_ASSERT(mlstm.q_norm.empty() || mlstm.q_norm.size == mlstm.qk_dim,
                  "wrong size of the query norm");
  GRIDMILL_ASSERT(mlstm.k_norm.empty() || mlstm.k_norm.size == mlstm.qk_dim,
                  "wrong size of the key norm");
  const Norm& norm = mlstm.head_norm;
  GRIDMILL_ASSERT(norm.weight.empty() || norm.weight.size == width, "wrong size of the head norm");
  GRIDMILL_ASSERT(norm.bias.empty() || (norm.bias.size == width && !norm.weight.empty()),
                  "wrong size of the head norm's bias");
}

void check_convolution(const ShortConvolution& convolution, const ConstDeviceMatrix& x,
                       const RecurrentStateShape& state, const DeviceMatrix& out) {
  GRIDMILL_ASSERT(convolution.taps >= 1 && convolution.taps <= kMostConvolutionTaps,
                  "a short convolution has 1 to 8 taps");
  GRIDMILL_ASSERT(convolution.weights.size == convolution.taps * x.columns,
                  "weights are [taps, channels]");
  GRIDMILL_ASSERT(convolution.bias.empty() || convolution.bias.size == x.columns,
                  "bias has one element a channel");
  GRIDMILL_ASSERT(state.tail_rows == convolution.taps - 1 &&
                      (state.tail_rows == 0 || state.tail_channels == x.columns),
                  "the state has another shape");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns && out.data != x.data,
                  "wrong shape or place of the result");
}

void check_recurrence(const LinearRecurrence& recurrence, const RecurrenceInputs& inputs,
                      const RecurrentStateShape& state, const DeviceMatrix& out) {
  const std::int64_t heads = recurrence.heads;
  const std::int64_t keys = std::int64_t{recurrence.key_heads} * recurrence.key_width;
  const std::int64_t values = heads * recurrence.value_width;
  GRIDMILL_ASSERT(recurrence.key_heads > 0 && heads % recurrence.key_heads == 0,
                  "key heads have to divide the heads");
  GRIDMILL_ASSERT(state.heads == heads && state.key_width == recurrence.key_width &&
                      state.value_width == recurrence.value_width,
                  "the state has another shape");
  const std::int64_t decays =
      recurrence.decay == DecayScope::key ? heads * recurrence.key_width : heads;
  GRIDMILL_ASSERT(inputs.q.columns == keys && inputs.k.columns == keys &&
                      inputs.v.columns == values && inputs.decay.columns == decays &&
                      inputs.strength.columns == heads,
                  "wrong number of input columns");
  GRIDMILL_ASSERT(recurrence.skip.empty() || recurrence.skip.size == heads,
                  "skip has one element a head");
  GRIDMILL_ASSERT(out.rows == inputs.v.rows && inputs.q.rows == out.rows &&
                      inputs.k.rows == out.rows && inputs.decay.rows == out.rows &&
                      inputs.strength.rows == out.rows && out.columns == values,
                  "wrong shape of the result");
}

void check_slstm(const Slstm& cell, const ConstDeviceMatrix& inputs,
                 const RecurrentStateShape& state, const DeviceMatrix& out) {
  const std::int64_t width = std::int64_t{cell.heads} * cell.head_width;
  GRIDMILL_ASSERT(state.cell_width == width, "the state has another shape");
  GRIDMILL_ASSERT(inputs.columns == 4 * width && cell.bias.size == 4 * width &&
                      cell.recurrent.size == 4 * width * cell.head_width,
                  "wrong size of the inputs, the bias or the recurrent weights");
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.columns == width, "wrong shape of the result");
}

void check_decay_gates(const DecayGates& gates, const ConstDeviceMatrix& x,
                       const ConstDeviceMatrix& strength, const DeviceMatrix& out) {
  GRIDMILL_ASSERT(gates.bias.size == x.columns && gates.a_log.size == x.columns,
                  "bias and a_log have one element a head");
  GRIDMILL_ASSERT(
      strength.data == nullptr || (strength.rows == x.rows && strength.columns == x.columns),
      "strength has another shape");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == 2 * x.columns, "wrong shape of the result");
}

void check_group_norm(const Norm& norm, int groups, std::int64_t columns) {
  GRIDMILL_ASSERT(groups > 0 && columns % groups == 0, "groups have to divide the columns");
  GRIDMILL_ASSERT(
      norm.weight.empty() || norm.weight.size == columns || norm.weight.size == columns / groups,
      "wrong size of a norm's weight");
  GRIDMILL_ASSERT(norm.bias.empty(), "a norm of groups has no bias");
}

void check_gated_norm(const GatedNorm& gated, const ConstDeviceMatrix& y,
                      const ConstDeviceMatrix& z, const PackedRows& out) {
  if (gated.groups > 0) check_group_norm(gated.norm, gated.groups, y.columns);
  GRIDMILL_ASSERT(z.data == nullptr || (z.rows == y.rows && z.columns == y.columns),
                  "the gate has another shape");
  GRIDMILL_ASSERT(out.rows == y.rows && out.inputs == y.columns, "wrong shape of the result");
}

}  // namespace gridmill::kernels_detail
