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

}  // namespace gridmill::kernels_detail
