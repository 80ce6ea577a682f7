#include <limits>

#include "model/layers/block.hpp"

namespace gridmill::model_detail {

MixerOutput run_mixer(const BlockRun& run, const AttentionSpec& spec, const AttentionParts& parts,
                      const PackedRows& input) {
  const int heads = static_cast<int>(head_slice(run.tp(), spec.heads).count);
  const int kv_heads = static_cast<int>(kv_head_slice(run.tp(), spec.kv_heads).count);
  // A window beyond every position is none.
  constexpr std::int64_t kNone = std::numeric_limits<std::int32_t>::max();
  const std::int64_t window = spec.window.value_or(kNone);

  const DeviceMatrix qkv = run.linear(input, parts.inputs, Scratch::projected);
  Attention attention{
      .heads = heads,
      .kv_heads = kv_heads,
      .head_dim = static_cast<int>(spec.head_width),
      .scale = static_cast<float>(spec.score_scale),
      .window = window < kNone ? static_cast<std::int32_t>(window) : 0,
      .q_norm = run.vector(parts.q_norm),
      .k_norm = run.vector(parts.k_norm),
      .rotary = run.pass.states.rotary[static_cast<std::size_t>(*spec.rotary)].table};
  if (spec.qk_norm) attention.norm_eps = static_cast<float>(spec.qk_norm->norm.eps);
  const PackedRows mixed =
      run.workspace().packed(run.stream(), Scratch::mixed, run.rows(), heads * spec.head_width);
  run.backend().attend(run.stream(), run.pass.spans, attention, run.state.index, qkv,
                       run.pass.states.kv_cache(run.state.group), mixed);
  return {mixed, parts.out};
}

}  // namespace gridmill::model_detail
