#include "model/layers/block.hpp"

namespace gridmill::model_detail {

namespace {

/// A norm over all heads of q or k together: what the kernel does not do.
void norm_whole(const BlockRun& run, const QkNormSpec& spec, PartIndex weight, DeviceMatrix x) {
  run.backend().norm_rows(run.stream(), x, run.norm(spec.norm, {.weight = weight}), x);
}

Attention attention_options(const BlockRun& run, const AttentionSpec& spec,
                            const AttentionParts& parts) {
  Attention attention{.heads = static_cast<int>(head_slice(run.tp(), spec.heads).count),
                      .kv_heads = static_cast<int>(kv_head_slice(run.tp(), spec.kv_heads).count),
                      .head_dim = static_cast<int>(spec.head_width),
                      .scale = static_cast<float>(spec.score_scale),
                      .window = window_of(spec),
                      .clip = static_cast<float>(spec.clip_qkv),
                      .score_cap = static_cast<float>(spec.score_cap),
                      .sinks = run.vector(parts.sinks),
                      .output_gate = spec.output_gate};
  if (spec.qk_norm && spec.qk_norm->scope != QkNormScope::whole) {
    attention.q_norm = run.vector(parts.q_norm);
    attention.k_norm = run.vector(parts.k_norm);
    attention.norm_kind = spec.qk_norm->norm.kind;
    attention.norm_eps = static_cast<float>(spec.qk_norm->norm.eps);
  }
  if (spec.rotary) {
    const RotaryTable& rotary = run.pass.states.rotary[static_cast<std::size_t>(*spec.rotary)];
    attention.rotary = rotary.table;
    attention.long_rotary = rotary.long_table;
  }
  return attention;
}

}  // namespace

MixerOutput run_mixer(const BlockRun& run, const AttentionSpec& spec, const AttentionParts& parts,
                      const PackedRows& input) {
  const Attention attention = attention_options(run, spec, parts);
  const DeviceMatrix qkv = run.linear(input, parts.inputs, Scratch::projected);
  if (spec.qk_norm && spec.qk_norm->scope == QkNormScope::whole) {
    const std::int64_t queries = attention.heads * spec.head_width;
    const std::int64_t keys = attention.kv_heads * spec.head_width;
    norm_whole(run, *spec.qk_norm, parts.q_norm, qkv.columns_at(0, queries));
    norm_whole(run, *spec.qk_norm, parts.k_norm, qkv.columns_at(queries, keys));
  }
  const PackedRows mixed = run.workspace().packed(run.stream(), Scratch::mixed, run.rows(),
                                                  attention.heads * spec.head_width);
  run.backend().attend(run.stream(), run.pass.spans, attention, run.state.index, qkv,
                       run.pass.states.kv_cache(run.state.group), mixed);
  return {mixed, parts.out};
}

}  // namespace gridmill::model_detail
