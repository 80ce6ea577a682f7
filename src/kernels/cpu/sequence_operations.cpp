#include <algorithm>
#include <string>
#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/cpu/kv_cache.hpp"
#include "kernels/cpu/mlstm_state.hpp"

namespace gridmill::cpu {

namespace {

std::size_t rounded_up(std::int64_t count, std::int64_t multiple) {
  return static_cast<std::size_t>((count + multiple - 1) / multiple * multiple);
}

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

void check_attention(const Attention& attention, const DeviceMatrix& qkv, const KvCacheShape& cache,
                     const PackedRows& out) {
  const std::int64_t head_dim = attention.head_dim;
  GRIDMILL_ASSERT(attention.kv_heads > 0 && attention.heads % attention.kv_heads == 0,
                  "kv heads have to divide the heads");
  GRIDMILL_ASSERT(head_dim > 0 && head_dim % 2 == 0, "a rotation needs pairs: head_dim is even");
  GRIDMILL_ASSERT(cache.kv_heads == attention.kv_heads && cache.head_dim == head_dim,
                  "the cache has another shape");
  GRIDMILL_ASSERT(qkv.columns == (attention.heads + 2 * attention.kv_heads) * head_dim,
                  "wrong number of qkv columns");
  GRIDMILL_ASSERT(out.rows == qkv.rows && out.inputs == attention.heads * head_dim,
                  "wrong shape of the result");
  GRIDMILL_ASSERT(attention.q_norm.empty() || attention.q_norm.size == head_dim,
                  "wrong size of the query norm");
  GRIDMILL_ASSERT(attention.k_norm.empty() || attention.k_norm.size == head_dim,
                  "wrong size of the key norm");
  GRIDMILL_ASSERT(attention.rotary.columns == head_dim, "wrong width of the rotary table");
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

}  // namespace

void CpuBackend::attend(Stream& /*stream*/, std::span<const TokenSpan> spans,
                        const Attention& attention, int layer, DeviceMatrix qkv, KvCache& cache,
                        PackedRows out) {
  auto* paged = dynamic_cast<PagedKvCache*>(&cache);
  GRIDMILL_ASSERT(paged != nullptr, "the cache belongs to another backend");
  check_attention(attention, qkv, paged->shape(), out);
  check_spans(spans, qkv.rows);
  std::vector<AttendSpan> placed;
  placed.reserve(spans.size());
  for (const TokenSpan& span : spans) {
    if (span.tokens == 0) continue;
    const std::int64_t length = std::int64_t{span.position} + span.tokens;
    GRIDMILL_ASSERT(length <= attention.rotary.rows, "the rotary table is too short");
    paged->reserve(span.slot, length);
    placed.push_back({span, paged->pages(span.slot)});
  }
  AttendArgs args;
  args.spans = placed.data();
  args.span_count = static_cast<std::int64_t>(placed.size());
  args.attention = attention;
  args.qkv = qkv;
  args.layer_offset = paged->layer_offset(layer);
  args.key_bytes = paged->key_bytes();
  args.value_bytes = paged->value_bytes();
  args.out = out;
  // Scores, and outputs and queries (with some words beside) of every tile of 4 query rows.
  const std::size_t tile = 8 * rounded_up(attention.head_dim, 32) + 64;
  const int group = attention.heads / attention.kv_heads;
  const auto tiles = static_cast<std::size_t>((group + 3) / 4 * attention.kv_heads + 2);
  run(kernels_.attend, args, args.span_count * attention.kv_heads,
      (4 * kPageKeys + tiles * tile) * sizeof(float));
}

void CpuBackend::run_mlstm(std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
                           ConstDeviceMatrix inputs, MlstmState& state, PackedRows packed_out,
                           DeviceMatrix out) {
  auto* strips = dynamic_cast<StripMlstmState*>(&state);
  GRIDMILL_ASSERT(strips != nullptr, "the state belongs to another backend");
  check_mlstm(mlstm, inputs, strips->shape());
  check_spans(spans, inputs.rows);
  for (const TokenSpan& span : spans) {
    GRIDMILL_ASSERT(span.slot >= 0 && span.slot < strips->shape().slots,
                    "no slot " + std::to_string(span.slot));
  }
  MlstmArgs args;
  args.spans = spans.data();
  args.span_count = static_cast<std::int64_t>(spans.size());
  args.mlstm = mlstm;
  args.inputs = inputs;
  args.state = strips->layer(layer);
  args.slot_stride = strips->slot_stride();
  args.head_stride = strips->head_stride();
  args.packed_out = packed_out;
  args.out = out;
  const std::size_t v_padded = rounded_up(mlstm.v_dim, kStripColumns);
  const std::size_t token = 2 * rounded_up(mlstm.qk_dim, 16) + v_padded;
  run(kernels_.mlstm, args, args.span_count * mlstm.heads,
      (kMlstmTokens * token + v_padded) * sizeof(float));
}

void CpuBackend::mlstm(Stream& /*stream*/, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                       int layer, ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) {
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.inputs == std::int64_t{mlstm.heads} * mlstm.v_dim,
                  "wrong shape of the result");
  run_mlstm(spans, mlstm, layer, inputs, state, out, {});
}

void CpuBackend::mlstm_unpacked(Stream& /*stream*/, std::span<const TokenSpan> spans,
                                const Mlstm& mlstm, int layer, ConstDeviceMatrix inputs,
                                MlstmState& state, DeviceMatrix out) {
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.columns == std::int64_t{mlstm.heads} * mlstm.v_dim,
                  "wrong shape of the result");
  run_mlstm(spans, mlstm, layer, inputs, state, {}, out);
}

}  // namespace gridmill::cpu
