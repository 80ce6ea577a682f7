#include <string>
#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/cpu/kv_cache.hpp"
#include "kernels/cpu/mlstm_state.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cpu {

using namespace kernels_detail;

namespace {

std::size_t rounded_up(std::int64_t count, std::int64_t multiple) {
  return static_cast<std::size_t>((count + multiple - 1) / multiple * multiple);
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
    check_positions(span, attention);
    GRIDMILL_ASSERT(paged->shape().window == 0 ||
                        (attention.window > 0 && attention.window <= paged->shape().window),
                    "the cache keeps less than the window");
    paged->reserve(span.slot, span.position, length);
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
