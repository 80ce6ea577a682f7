#pragma once

#include "gridmill/model/model_spec.hpp"

namespace gridmill::test {

/// What the specs below have in common.
inline ModelSpec tiny_spec(const char* family) {
  ModelSpec spec;
  spec.family = family;
  spec.vocab_size = 300;
  spec.hidden_size = 24;
  spec.max_length = 128;
  spec.bos_id = 1;
  spec.eod_ids = {2};
  return spec;
}

inline AttentionSpec tiny_attention(std::int64_t kv_heads) {
  AttentionSpec attention;
  attention.heads = 8;
  attention.kv_heads = kv_heads;
  attention.head_width = 4;
  attention.score_scale = 0.5;
  return attention;
}

/// Norms on both sides, capped scores, windows in every other layer, a scaled embedding.
inline Json sandwich_config() {
  ModelSpec spec = tiny_spec("sandwich");
  spec.embedding.scale = 4.9;
  spec.rotary = {{.width = 4}, {.width = 2, .theta = 1000}};
  const NormSpec norm{.eps = 1e-5};
  const FeedForwardSpec feed_forward{.size = 52, .activation = Activation::gelu_tanh};
  AttentionSpec attention = tiny_attention(8);
  attention.score_cap = 3;
  attention.sinks = true;
  for (const bool windowed : {true, false, true}) {
    attention.rotary = windowed ? 0 : 1;
    attention.window = windowed ? std::optional<std::int64_t>(5) : std::nullopt;
    spec.layers.push_back({{{.norm = norm, .mixer = attention, .post_norm = norm},
                            {.norm = norm, .mixer = feed_forward, .post_norm = norm}}});
  }
  spec.head = {.norm = norm, .scale = 0.0625, .soft_cap = 30, .tied = true};
  return to_json(spec);
}

/// Blocks side by side, layer norms, learned positions, plain feed-forward, multipliers.
inline Json parallel_config() {
  ModelSpec spec = tiny_spec("parallel");
  spec.embedding = {.scale = 1.5, .positions = 128};
  const NormSpec norm{.kind = NormKind::layer, .eps = 1e-5, .bias = true};
  AttentionSpec attention = tiny_attention(8);
  attention.qkv_bias = true;
  attention.out_bias = true;
  attention.qk_norm = QkNormSpec{.scope = QkNormScope::each_head, .norm = {NormKind::layer}};
  const FeedForwardSpec feed_forward{.size = 52,
                                     .gated = false,
                                     .activation = Activation::gelu,
                                     .up_bias = true,
                                     .down_bias = true};
  spec.layers = {
      {{{.norm = norm, .input_scale = 0.7, .mixer = attention, .residual_scale = 0.22},
        {.input = BlockInput::same_normed, .mixer = feed_forward, .residual_scale = 0.22}}},
      {{{.norm = norm, .mixer = attention},
        {.input = BlockInput::beside, .norm = norm, .mixer = feed_forward}}}};
  spec.head.norm = norm;
  return to_json(spec);
}

/// Phi's order, and a head with a bias, a scale and a cap.
inline Json biased_head_config() {
  ModelSpec spec = tiny_spec("biased_head");
  spec.rotary = {{.width = 2}};
  const NormSpec norm{.kind = NormKind::layer, .eps = 1e-5, .bias = true};
  AttentionSpec attention = tiny_attention(8);
  attention.rotary = 0;
  const FeedForwardSpec feed_forward{
      .size = 52, .gated = false, .activation = Activation::gelu_tanh};
  spec.layers.assign(2, {{{.norm = norm, .mixer = attention},
                          {.input = BlockInput::same_normed, .mixer = feed_forward}}});
  spec.head = {.norm = norm, .bias = true, .scale = 0.7, .soft_cap = 30};
  return to_json(spec);
}

/// Norms behind blocks only, q and k normed as a whole, clamps, yarn. One rank alone can run it.
inline Json whole_norm_config() {
  ModelSpec spec = tiny_spec("whole_norm");
  spec.rotary = {{.width = 4,
                  .scaling = RotaryScaling::yarn,
                  .factor = 4,
                  .original_max_position = 32,
                  .magnitude = 1.14}};
  AttentionSpec attention = tiny_attention(4);
  attention.rotary = 0;
  attention.clip_qkv = 1.5;
  attention.qk_norm = QkNormSpec{.scope = QkNormScope::whole, .norm = {}};
  spec.layers.assign(2, {{{.mixer = attention, .post_norm = NormSpec{}},
                          {.mixer = FeedForwardSpec{.size = 52}, .post_norm = NormSpec{}}}});
  spec.head.norm = NormSpec{};
  return to_json(spec);
}

/// A layer with a recurrence and one with attention.
inline Json hybrid_config() {
  ModelSpec spec = tiny_spec("hybrid");
  spec.rotary = {{.width = 4}};
  AttentionSpec attention = tiny_attention(8);
  attention.rotary = 0;
  MlstmSpec mlstm;
  mlstm.heads = 8;
  mlstm.qk_size = 24;
  mlstm.v_size = 32;
  mlstm.gate_soft_cap = 15;
  const NormSpec norm;
  const BlockSpec feed_forward{.norm = norm, .mixer = FeedForwardSpec{.size = 40}};
  spec.layers = {{{{.norm = norm, .mixer = mlstm}, feed_forward}},
                 {{{.norm = norm, .mixer = attention}, feed_forward}}};
  spec.head.norm = norm;
  return to_json(spec);
}

inline LinearRecurrenceSpec tiny_recurrence(RecurrenceUpdate update) {
  LinearRecurrenceSpec recurrence;
  recurrence.heads = 8;
  recurrence.key_heads = 2;
  recurrence.key_width = 6;
  recurrence.value_width = 4;
  recurrence.update = update;
  recurrence.conv_kernel = 4;
  return recurrence;
}

/// Mamba-2: recurrences alone.
inline Json mamba_config() {
  ModelSpec spec = tiny_spec("mamba");
  spec.max_length = 0;
  const NormSpec norm{.eps = 1e-5};
  LinearRecurrenceSpec recurrence = tiny_recurrence(RecurrenceUpdate::add);
  recurrence.conv_bias = true;
  recurrence.skip = true;
  recurrence.norm = RecurrenceNormSpec{.norm = norm, .groups = 8};
  recurrence.gate_first = true;
  spec.layers.assign(2, {{{.norm = norm, .mixer = recurrence}}});
  spec.head.norm = norm;
  return to_json(spec);
}

/// Gated delta nets, and windowed attention with an output gate.
inline Json delta_config() {
  ModelSpec spec = tiny_spec("delta");
  spec.rotary = {{.width = 2}};
  const NormSpec norm;
  LinearRecurrenceSpec recurrence = tiny_recurrence(RecurrenceUpdate::delta);
  recurrence.l2_norm_eps = 1e-6;
  recurrence.query_scale = 0.408;
  recurrence.norm = RecurrenceNormSpec{.norm = norm, .groups = 8, .shared_weight = true};
  AttentionSpec attention = tiny_attention(8);
  attention.rotary = 0;
  attention.window = 9;
  attention.output_gate = true;
  const BlockSpec feed_forward{.norm = norm, .mixer = FeedForwardSpec{.size = 40}};
  spec.layers = {{{{.norm = norm, .mixer = recurrence}, feed_forward}},
                 {{{.norm = norm, .mixer = attention}, feed_forward}}};
  spec.head.norm = norm;
  return to_json(spec);
}

/// Attention, a recurrence and an mLSTM side by side, and factors everywhere.
inline Json beside_config() {
  ModelSpec spec = tiny_spec("beside");
  spec.rotary = {{.width = 4}};
  const NormSpec norm;
  LinearRecurrenceSpec recurrence = tiny_recurrence(RecurrenceUpdate::add);
  recurrence.skip = true;
  recurrence.bias = true;
  recurrence.scales = RecurrenceScales{.q = 0.6, .k = 0.7, .v = 0.5, .gate = 0.35, .decay = 0.4};
  AttentionSpec attention = tiny_attention(8);
  attention.rotary = 0;
  MlstmSpec mlstm;
  mlstm.heads = 8;
  mlstm.qk_size = 24;
  mlstm.v_size = 32;
  const FeedForwardSpec feed_forward{.size = 40, .gate_scale = 0.88};
  spec.layers = {{{{.norm = norm, .mixer = attention, .residual_scale = 0.9},
                   {.input = BlockInput::beside,
                    .norm = norm,
                    .input_scale = 1.25,
                    .mixer = recurrence,
                    .residual_scale = 0.7},
                   {.input = BlockInput::beside, .norm = norm, .mixer = mlstm},
                   {.norm = norm, .mixer = feed_forward, .residual_scale = 0.73}}}};
  spec.head.norm = norm;
  return to_json(spec);
}

/// Blocks of NX-AI's xlstm package: sLSTM, and mLSTM behind a convolution. One rank alone runs it.
inline Json slstm_config() {
  ModelSpec spec = tiny_spec("slstm");
  spec.max_length = 0;
  const NormSpec norm{.kind = NormKind::layer, .eps = 1e-5};
  const SlstmSpec slstm{.heads = 4, .conv_kernel = 4, .head_norm = norm};
  const SlstmSpec bare{.heads = 2, .head_norm = norm, .norm_weight = false};
  MlstmSpec mlstm;
  mlstm.heads = 4;
  mlstm.qk_size = 32;
  mlstm.v_size = 32;
  mlstm.head_norm = norm;
  mlstm.older = OlderMlstmSpec{.conv_kernel = 4, .history = true, .qkv_block_size = 4};
  const BlockSpec feed_forward{
      .norm = norm, .mixer = FeedForwardSpec{.size = 40, .activation = Activation::gelu}};
  spec.layers = {{{{.norm = norm, .mixer = mlstm}}},
                 {{{.norm = norm, .mixer = slstm}, feed_forward}},
                 {{{.norm = norm, .mixer = bare, .residual_scale = 0.5}}}};
  spec.head.norm = norm;
  return to_json(spec);
}

}  // namespace gridmill::test
