#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "gridmill/model/model_spec.hpp"

namespace gridmill::model_detail {

/// Texts of an enumeration in JSON.
template <typename T, std::size_t N>
using Labels = std::array<std::pair<std::string_view, T>, N>;

inline constexpr Labels<NormKind, 2> kNormKinds = {
    {{"rms", NormKind::rms}, {"layer", NormKind::layer}}};
inline constexpr Labels<RotaryScaling, 5> kRotaryScalings = {
    {{"none", RotaryScaling::none},
     {"linear", RotaryScaling::linear},
     {"llama3", RotaryScaling::llama3},
     {"yarn", RotaryScaling::yarn},
     {"longrope", RotaryScaling::longrope}}};
inline constexpr Labels<QkNormScope, 3> kQkNormScopes = {{{"head", QkNormScope::head},
                                                          {"each_head", QkNormScope::each_head},
                                                          {"whole", QkNormScope::whole}}};
inline constexpr Labels<RouterWeights, 3> kRouterWeights = {
    {{"softmax_all", RouterWeights::softmax_all},
     {"softmax_shared", RouterWeights::softmax_shared},
     {"softmax_chosen", RouterWeights::softmax_chosen}}};
inline constexpr Labels<ExpertKind, 2> kExpertKinds = {
    {{"gated", ExpertKind::gated}, {"clamped", ExpertKind::clamped}}};
inline constexpr Labels<GateInput, 4> kGateInputs = {{{"qkv", GateInput::qkv},
                                                      {"x", GateInput::x},
                                                      {"conv", GateInput::conv},
                                                      {"conv_act", GateInput::conv_act}}};
inline constexpr Labels<RecurrenceUpdate, 2> kRecurrenceUpdates = {
    {{"add", RecurrenceUpdate::add}, {"delta", RecurrenceUpdate::delta}}};
inline constexpr Labels<BlockInput, 3> kBlockInputs = {{{"stream", BlockInput::stream},
                                                        {"beside", BlockInput::beside},
                                                        {"same_normed", BlockInput::same_normed}}};
inline constexpr Labels<Activation, 8> kActivations = {{{"silu", Activation::silu},
                                                        {"gelu", Activation::gelu},
                                                        {"gelu_tanh", Activation::gelu_tanh},
                                                        {"relu", Activation::relu},
                                                        {"relu_squared", Activation::relu_squared},
                                                        {"sigmoid", Activation::sigmoid},
                                                        {"selu", Activation::selu},
                                                        {"identity", Activation::identity}}};

/// The field of a block that holds its mixer.
constexpr const char* mixer_name(const AttentionSpec& /*spec*/) { return "attention"; }
constexpr const char* mixer_name(const FeedForwardSpec& /*spec*/) { return "feed_forward"; }
constexpr const char* mixer_name(const ExpertsSpec& /*spec*/) { return "experts"; }
constexpr const char* mixer_name(const MlstmSpec& /*spec*/) { return "mlstm"; }
constexpr const char* mixer_name(const LinearRecurrenceSpec& /*spec*/) {
  return "linear_recurrence";
}
constexpr const char* mixer_name(const SlstmSpec& /*spec*/) { return "slstm"; }

/// A reading visitor changes what it visits, a writing one does not.
template <typename Visitor, typename Spec>
using Field = std::conditional_t<Visitor::kWrites, const Spec, Spec>;

// The fields of every struct, listed once for the reader and the writer. A field that is left out
// keeps the struct's default; size and group have none.
//
//   size       >= 1                     count     >= 0
//   positive   finite and > 0           limit     finite and >= 0; 0 = none
//   factor     finite and not 0         group, maybe: an object, an optional one

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, NormSpec>& norm) {
  visit.choice("kind", norm.kind, kNormKinds);
  visit.positive("eps", norm.eps);
  visit.flag("bias", norm.bias);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, RotarySpec>& rotary) {
  visit.size("width", rotary.width);
  visit.positive("theta", rotary.theta);
  visit.choice("scaling", rotary.scaling, kRotaryScalings);
  // Fields that a scaling does not use are not read, hence refused.
  const RotaryScaling scaling = rotary.scaling;
  const bool yarn = scaling == RotaryScaling::yarn;
  if (scaling == RotaryScaling::linear || scaling == RotaryScaling::llama3 || yarn) {
    visit.positive("factor", rotary.factor);
  }
  if (scaling == RotaryScaling::llama3) {
    visit.positive("low_freq_factor", rotary.low_freq_factor);
    visit.positive("high_freq_factor", rotary.high_freq_factor);
  }
  if (scaling == RotaryScaling::llama3 || yarn || scaling == RotaryScaling::longrope) {
    visit.positive("original_max_position", rotary.original_max_position);
  }
  if (yarn) {
    visit.positive("beta_fast", rotary.beta_fast);
    visit.positive("beta_slow", rotary.beta_slow);
    visit.flag("truncate", rotary.truncate);
  }
  if (scaling == RotaryScaling::longrope) {
    visit.positives("short_factors", rotary.short_factors);
    visit.positives("long_factors", rotary.long_factors);
  }
  visit.positive("magnitude", rotary.magnitude);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, QkNormSpec>& qk_norm) {
  visit.choice("scope", qk_norm.scope, kQkNormScopes);
  visit.group("norm", qk_norm.norm);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, AttentionSpec>& attention) {
  visit.size("heads", attention.heads);
  visit.size("kv_heads", attention.kv_heads);
  visit.size("head_width", attention.head_width);
  visit.maybe_index("rotary", attention.rotary);
  visit.maybe_size("window", attention.window);
  visit.factor("score_scale", attention.score_scale);
  visit.limit("score_cap", attention.score_cap);
  visit.limit("clip_qkv", attention.clip_qkv);
  visit.maybe("qk_norm", attention.qk_norm);
  visit.flag("sinks", attention.sinks);
  visit.flag("output_gate", attention.output_gate);
  visit.flag("qkv_bias", attention.qkv_bias);
  visit.flag("out_bias", attention.out_bias);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, FeedForwardSpec>& feed_forward) {
  visit.size("size", feed_forward.size);
  visit.flag("gated", feed_forward.gated);
  visit.choice("activation", feed_forward.activation, kActivations);
  visit.flag("up_bias", feed_forward.up_bias);
  visit.flag("down_bias", feed_forward.down_bias);
  if (!Visitor::kWrites || feed_forward.gate_scale != 1) {
    visit.factor("gate_scale", feed_forward.gate_scale);
  }
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, ExpertsSpec>& experts) {
  visit.size("experts", experts.experts);
  visit.size("per_token", experts.per_token);
  visit.size("size", experts.size);
  visit.choice("kind", experts.kind, kExpertKinds);
  if (experts.kind == ExpertKind::gated) {
    visit.choice("activation", experts.activation, kActivations);
  } else {
    visit.positive("limit", experts.limit);
  }
  visit.choice("router_weights", experts.router_weights, kRouterWeights);
  visit.flag("router_bias", experts.router_bias);
  visit.flag("bias", experts.bias);
  visit.count("shared_size", experts.shared_size);
  visit.flag("shared_gate", experts.shared_gate);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, OlderMlstmSpec>& older) {
  visit.size("conv_kernel", older.conv_kernel);
  visit.size("qkv_block_size", older.qkv_block_size);
  visit.choice("gate_input", older.gate_input, kGateInputs);
  if (!Visitor::kWrites || older.history) visit.flag("history", older.history);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, MlstmSpec>& mlstm) {
  visit.size("heads", mlstm.heads);
  visit.size("qk_size", mlstm.qk_size);
  visit.size("v_size", mlstm.v_size);
  visit.group("head_norm", mlstm.head_norm);
  visit.maybe("qk_norm", mlstm.qk_norm);
  visit.limit("denominator_eps", mlstm.denominator_eps);
  visit.limit("gate_soft_cap", mlstm.gate_soft_cap);
  visit.flag("bias", mlstm.bias);
  visit.maybe("older", mlstm.older);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, RecurrenceNormSpec>& norm) {
  visit.group("norm", norm.norm);
  visit.size("groups", norm.groups);
  visit.flag("shared_weight", norm.shared_weight);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, RecurrenceScales>& scales) {
  visit.factor("q", scales.q);
  visit.factor("k", scales.k);
  visit.factor("v", scales.v);
  visit.factor("gate", scales.gate);
  visit.factor("decay", scales.decay);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, LinearRecurrenceSpec>& recurrence) {
  visit.size("heads", recurrence.heads);
  visit.size("key_heads", recurrence.key_heads);
  visit.size("key_width", recurrence.key_width);
  visit.size("value_width", recurrence.value_width);
  visit.choice("update", recurrence.update, kRecurrenceUpdates);
  visit.size("conv_kernel", recurrence.conv_kernel);
  visit.flag("conv_bias", recurrence.conv_bias);
  visit.limit("l2_norm_eps", recurrence.l2_norm_eps);
  visit.factor("query_scale", recurrence.query_scale);
  visit.flag("skip", recurrence.skip);
  visit.maybe("norm", recurrence.norm);
  visit.flag("gate_first", recurrence.gate_first);
  visit.flag("bias", recurrence.bias);
  visit.maybe("scales", recurrence.scales);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, SlstmSpec>& slstm) {
  visit.size("heads", slstm.heads);
  visit.count("conv_kernel", slstm.conv_kernel);
  visit.group("head_norm", slstm.head_norm);
  visit.flag("norm_weight", slstm.norm_weight);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, BlockSpec>& block) {
  visit.choice("input", block.input, kBlockInputs);
  visit.maybe("norm", block.norm);
  visit.factor("input_scale", block.input_scale);
  visit.mixer(block.mixer);
  visit.maybe("post_norm", block.post_norm);
  visit.factor("residual_scale", block.residual_scale);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, EmbeddingSpec>& embedding) {
  visit.factor("scale", embedding.scale);
  visit.count("positions", embedding.positions);
}

template <typename Visitor>
void fields(Visitor& visit, Field<Visitor, HeadSpec>& head) {
  visit.maybe("norm", head.norm);
  visit.flag("bias", head.bias);
  visit.factor("scale", head.scale);
  visit.limit("soft_cap", head.soft_cap);
  visit.flag("tied", head.tied);
}

}  // namespace gridmill::model_detail
