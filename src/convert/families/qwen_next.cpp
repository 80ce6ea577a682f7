#include <array>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "convert/families/decoder.hpp"
#include "convert/families/experts.hpp"
#include "convert/families/family.hpp"
#include "convert/families/recurrence.hpp"
#include "convert/families/rotary.hpp"
#include "convert/foreign_model_detail.hpp"
#include "gridmill/base/format.hpp"

// Qwen3-Next and Qwen3.5: three of four layers are gated delta nets, the others attention with an
// output gate; norms with (1 + w). Qwen3-Next has experts.
namespace gridmill::convert_detail {

namespace {

AttentionSpec read_attention(ConfigFields& config, const Decoder& decoder, const NormSpec& norm,
                             ModelSpec& spec) {
  AttentionSpec attention = attention_of(decoder);
  attention.rotary =
      rotary_index(spec, read_rotary(config, decoder.head_width, decoder.max_length,
                                     {.part_field = "partial_rotary_factor", .part = 0.25}));
  attention.qkv_bias = config.flag("attention_bias", false);
  attention.out_bias = attention.qkv_bias;
  attention.qk_norm = QkNormSpec{.scope = QkNormScope::head, .norm = norm};
  attention.output_gate = config.flag("attn_output_gate", true);
  return attention;
}

LinearRecurrenceSpec read_delta_net(ConfigFields& config, const NormSpec& norm) {
  LinearRecurrenceSpec mixer;
  mixer.key_heads = config.size("linear_num_key_heads", 16);
  mixer.heads = config.size("linear_num_value_heads", 32);
  mixer.key_width = config.size("linear_key_head_dim", 128);
  mixer.value_width = config.size("linear_value_head_dim", 128);
  mixer.conv_kernel = config.size("linear_conv_kernel_dim", 4);
  mixer.update = RecurrenceUpdate::delta;
  mixer.l2_norm_eps = 1e-6;
  mixer.query_scale = 1 / std::sqrt(static_cast<double>(mixer.key_width));
  mixer.norm = RecurrenceNormSpec{.norm = norm, .groups = mixer.heads, .shared_weight = true};
  if (mixer.heads % mixer.key_heads != 0) {
    config.fail("linear_num_key_heads", fmt::format("is {}, which does not divide {} value heads",
                                                    mixer.key_heads, mixer.heads));
  }
  return mixer;
}

/// Whether each layer is a delta net.
std::vector<bool> read_recurrent_layers(ConfigFields& config, std::int64_t layers) {
  const std::int64_t interval = config.size("full_attention_interval", 4);
  const std::vector<std::string> types =
      read_layer_types(config, layers, {"linear_attention", "full_attention"});
  std::vector<bool> recurrent;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    recurrent.push_back(types.empty()
                            ? (layer + 1) % interval != 0
                            : types[static_cast<std::size_t>(layer)] == "linear_attention");
  }
  return recurrent;
}

/// The model with a feed-forward or experts in every layer.
ModelSpec read_layers(ConfigFields& config, const Decoder& decoder,
                      const std::vector<Mixer>& feed_forwards) {
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  const AttentionSpec attention = read_attention(config, decoder, norm, spec);
  const LinearRecurrenceSpec delta_net = read_delta_net(config, norm);
  const std::vector<bool> recurrent = read_recurrent_layers(config, decoder.layers);
  for (std::size_t layer = 0; layer < recurrent.size(); ++layer) {
    spec.layers.push_back(make_layer(LayerOrder::pre, norm,
                                     recurrent[layer] ? Mixer(delta_net) : Mixer(attention),
                                     feed_forwards[layer]));
  }
  ignore_decoder_fields(config);
  config.refuse({"mlp_bias", "use_sliding_window"});
  config.ignore({"mamba_ssm_dtype", "sliding_window", "max_window_layers"});
  return spec;
}

ModelSpec read_qwen3_next(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.max_positions = 32768, .norm_eps = 1e-6});
  ExpertsSpec experts = read_experts(config, {});
  experts.router_weights = config.flag("norm_topk_prob", true) ? RouterWeights::softmax_shared
                                                               : RouterWeights::softmax_all;
  experts.shared_size = config.size("shared_expert_intermediate_size");
  experts.shared_gate = true;
  const FeedForwardSpec dense{.size = decoder.ffn_size, .activation = experts.activation};
  std::vector<Mixer> feed_forwards;
  for (const bool sparse : read_sparse_layers(config, decoder.layers)) {
    feed_forwards.push_back(sparse ? Mixer(experts) : Mixer(dense));
  }
  return read_layers(config, decoder, feed_forwards);
}

ModelSpec read_qwen3_5(ConfigFields& config) {
  const Decoder decoder = read_decoder(config, {.max_positions = 32768, .norm_eps = 1e-6});
  const FeedForwardSpec dense{.size = decoder.ffn_size,
                              .activation = read_activation(config, "hidden_act", "silu")};
  const std::vector<Mixer> feed_forwards(static_cast<std::size_t>(decoder.layers), Mixer(dense));
  config.ignore({"mtp_num_hidden_layers", "mtp_use_dedicated_embeddings"});
  return read_layers(config, decoder, feed_forwards);
}

/// q and its gate lie head by head: [query | gate].
ParameterTake take_gated_queries(const WantedParameter& wanted) {
  const AttentionSpec& attention = wanted.attention();
  const std::int64_t width = attention.head_width;
  const bool gate = wanted.leaf.starts_with("q_gate");
  return take_heads(wanted,
                    fmt::format("model.layers.{}.self_attn.q_proj.{}", *wanted.layer,
                                wanted.leaf.ends_with("_bias") ? "bias" : "weight"),
                    width, 2 * width, gate ? width : 0, 2 * attention.heads * width);
}

/// Projections of a delta net: each in a tensor of its own (Qwen3.5), or key head by key head
/// (Qwen3-Next).
ParameterTake take_projection(const WantedParameter& wanted, const LinearRecurrenceSpec& spec,
                              const std::string& prefix, const std::string& leaf) {
  const std::int64_t keys = spec.key_heads * spec.key_width;
  const std::int64_t values = spec.heads * spec.value_width;
  const std::int64_t shared = spec.heads / spec.key_heads;
  if (wanted.tensors.contains(prefix + "in_proj_qkvz.weight")) {
    const std::int64_t dk = spec.key_width;
    const std::int64_t dv = shared * spec.value_width;
    const std::int64_t stride = 2 * (dk + dv);
    const auto part = [&](std::int64_t rows, std::int64_t offset) {
      return take_heads(wanted, prefix + "in_proj_qkvz.weight", rows, stride, offset,
                        spec.key_heads * stride);
    };
    if (leaf == "q") return part(dk, 0);
    if (leaf == "k") return part(dk, dk);
    if (leaf == "v") return part(dv, 2 * dk);
    if (leaf == "gate") return part(dv, 2 * dk + dv);
    return take_heads(wanted, prefix + "in_proj_ba.weight", shared, 2 * shared,
                      leaf == "strength" ? 0 : shared, 2 * spec.heads);
  }
  if (leaf == "gate") return take_whole(prefix + "in_proj_z.weight", wanted.spec);
  if (leaf == "strength") return take_whole(prefix + "in_proj_b.weight", wanted.spec);
  if (leaf == "decay") return take_whole(prefix + "in_proj_a.weight", wanted.spec);
  const std::int64_t first = leaf == "q" ? 0 : leaf == "k" ? keys : 2 * keys;
  return take_stacked(wanted, prefix + "in_proj_qkv.weight", first, 2 * keys + values);
}

ParameterTake take_delta_net(const WantedParameter& wanted) {
  const LinearRecurrenceSpec& spec = recurrence_of(wanted);
  const std::string prefix = fmt::format("model.layers.{}.linear_attn.", *wanted.layer);
  const std::string leaf = wanted.leaf.substr(std::string("recurrence.").size());
  if (leaf == "conv") {
    const IndexRange all{0, rows_of(wanted.spec) / spec.conv_kernel};
    return take_taps(prefix + "conv1d.weight", spec.conv_kernel, std::span(&all, 1));
  }
  constexpr std::array<NamePair, 4> kNames = {{{"step_bias", "dt_bias"},
                                               {"a_log", "A_log"},
                                               {"norm", "norm.weight"},
                                               {"out", "out_proj.weight"}}};
  for (const auto& [ours, theirs] : kNames) {
    if (leaf == ours) return take_whole(prefix + std::string(theirs), wanted.spec);
  }
  return take_projection(wanted, spec, prefix, leaf);
}

ParameterTake take_qwen_next(const WantedParameter& wanted) {
  const std::string& leaf = wanted.leaf;
  if (leaf.starts_with("recurrence.")) return take_delta_net(wanted);
  const bool queries = leaf == "q" || leaf == "q_bias" || leaf == "q_gate" || leaf == "q_gate_bias";
  if (wanted.layer && queries && wanted.attention().output_gate) return take_gated_queries(wanted);
  if (leaf == "recurrence_norm") {
    ParameterTake take = take_whole(
        fmt::format("model.layers.{}.input_layernorm.weight", *wanted.layer), wanted.spec);
    take.shift = 1;
    return take;
  }
  ParameterTake take = take_qwen_moe(wanted);
  if (leaf.ends_with("norm")) take.shift = 1;
  return take;
}

/// Layers that predict several tokens, and the image encoder of a nested repository.
bool is_harmless(std::string_view tensor) {
  return tensor.starts_with("mtp.") || tensor.starts_with("model.visual.") ||
         tensor.starts_with("visual.") || tensor.starts_with("model.mtp.");
}

}  // namespace

Family qwen3_next_family() {
  return {.model_type = "qwen3_next",
          .architecture = "Qwen3NextForCausalLM",
          .tokens = {},
          .read = read_qwen3_next,
          .take = take_qwen_next,
          .harmless = is_harmless};
}

Family qwen3_5_family() {
  return {.model_type = "qwen3_5_text",
          .architecture = "Qwen3_5ForCausalLM",
          .tokens = {},
          .read = read_qwen3_5,
          .take = take_qwen_next,
          .harmless = is_harmless};
}

}  // namespace gridmill::convert_detail
