#include <array>
#include <string>
#include <vector>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/recurrence.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/format.hpp"

// Falcon-H1: attention and Mamba-2 side by side behind one norm, and a multiplier everywhere.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 9> kInLayer = {{
    {"attention_norm", "input_layernorm.weight"},
    {"recurrence_norm", "input_layernorm.weight"},
    {"ffn_norm", "pre_ff_layernorm.weight"},
    {"gate", "feed_forward.gate_proj.weight"},
    {"up", "feed_forward.up_proj.weight"},
    {"down", "feed_forward.down_proj.weight"},
    {"gate_bias", "feed_forward.gate_proj.bias"},
    {"up_bias", "feed_forward.up_proj.bias"},
    {"down_bias", "feed_forward.down_proj.bias"},
}};
constexpr std::array<NamePair, 1> kOuter = {{{"final_norm", "model.final_layernorm.weight"}}};

/// A list of `count` factors other than 0; ones if it is missing.
std::vector<double> read_factors(ConfigFields& config, const std::string& name, std::size_t count) {
  const Json* list = config.value(name);
  std::vector<double> factors(count, 1.0);
  if (list == nullptr) return factors;
  if (!list->is_array() || list->size() != count) {
    config.fail(name, fmt::format("is no list of {} numbers", count));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!(*list)[i].is_number() || (*list)[i] == 0) {
      config.fail(name, "holds something else than numbers other than 0");
    }
    factors[i] = (*list)[i].get<double>();
  }
  return factors;
}

LinearRecurrenceSpec read_mixer(ConfigFields& config, const Decoder& decoder,
                                const NormSpec& norm) {
  LinearRecurrenceSpec mixer;
  mixer.heads = config.size("mamba_n_heads", 128);
  mixer.key_heads = config.size("mamba_n_groups", 1);
  mixer.key_width = config.size("mamba_d_state", 256);
  mixer.conv_kernel = config.size("mamba_d_conv", 4);
  mixer.conv_bias = config.flag("mamba_conv_bias", true);
  mixer.skip = true;
  const std::int64_t expanded = config.size("mamba_expand", 2) * decoder.hidden_size;
  const std::int64_t inner = config.size("mamba_d_ssm", expanded);
  if (inner % mixer.heads != 0 || mixer.heads % mixer.key_heads != 0) {
    config.fail("mamba_n_heads", fmt::format("is {}: it has to divide mamba_d_ssm = {} and be a "
                                             "multiple of mamba_n_groups = {}",
                                             mixer.heads, inner, mixer.key_heads));
  }
  mixer.value_width = inner / mixer.heads;
  // "auto" means that width.
  if (const Json* width = config.value("mamba_d_head"); width != nullptr && !width->is_string()) {
    if (config.size("mamba_d_head") != mixer.value_width) {
      config.fail("mamba_d_head",
                  fmt::format("is not mamba_d_ssm / mamba_n_heads = {}", mixer.value_width));
    }
  }
  const bool norm_first = config.flag("mamba_norm_before_gate", true);
  if (config.flag("mamba_rms_norm", false)) {
    mixer.norm = RecurrenceNormSpec{.norm = norm, .groups = mixer.key_heads};
    mixer.gate_first = !norm_first;
  }
  const std::vector<double> factors = read_factors(config, "ssm_multipliers", 5);
  mixer.scales = RecurrenceScales{
      .q = factors[3], .k = factors[2], .v = factors[1], .gate = factors[0], .decay = factors[4]};
  check_time_step_limit(config);
  config.refuse({"mamba_proj_bias", "projectors_bias"});
  config.ignore(
      {"mamba_chunk_size", "time_step_min", "time_step_max", "time_step_floor", "time_step_rank"});
  return mixer;
}

ModelSpec read_falcon_h1(ConfigFields& config) {
  const Decoder decoder =
      read_decoder(config, {.kv_heads = 8, .max_positions = 8192, .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  spec.embedding.scale = config.positive("embedding_multiplier", 1);
  spec.head.scale = config.positive("lm_head_multiplier", 1);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary = rotary_index(
      spec, read_rotary(config, decoder.head_width, decoder.max_length, {.theta = 1e5}));
  attention.score_scale *= config.positive("key_multiplier", 1);
  attention.qkv_bias = config.flag("attention_bias", false);
  attention.out_bias = attention.qkv_bias;
  const bool mlp_bias = config.flag("mlp_bias", false);
  const std::vector<double> mlp = read_factors(config, "mlp_multipliers", 2);
  const FeedForwardSpec ffn{.size = decoder.ffn_size,
                            .activation = read_activation(config, "hidden_act", "silu"),
                            .up_bias = mlp_bias,
                            .down_bias = mlp_bias,
                            .gate_scale = mlp[0]};
  if (!config.flag("mamba_use_mlp", true)) {
    config.fail("mamba_use_mlp", "is false: a model without feed-forward is unsupported");
  }
  const LayerSpec layer{{{.norm = norm,
                          .input_scale = config.positive("attention_in_multiplier", 1),
                          .mixer = attention,
                          .residual_scale = config.positive("attention_out_multiplier", 1)},
                         {.input = BlockInput::beside,
                          .norm = norm,
                          .input_scale = config.positive("ssm_in_multiplier", 1),
                          .mixer = read_mixer(config, decoder, norm),
                          .residual_scale = config.positive("ssm_out_multiplier", 1)},
                         {.norm = norm, .mixer = ffn, .residual_scale = mlp[1]}}};
  spec.layers.assign(static_cast<std::size_t>(decoder.layers), layer);
  ignore_decoder_fields(config);
  config.ignore({"mlp_expansion_factor"});
  return spec;
}

ParameterTake take_falcon_h1(const WantedParameter& wanted) {
  if (wanted.leaf.starts_with("recurrence.")) {
    return take_mamba2(wanted, fmt::format("model.layers.{}.mamba.", *wanted.layer));
  }
  return take_named(wanted, {.in_layer = kInLayer, .outer = kOuter});
}

}  // namespace

Family falcon_h1_family() {
  return {.model_type = "falcon_h1",
          .architecture = "FalconH1ForCausalLM",
          .tokens = {.bos = 1, .eod = {2}},
          .read = read_falcon_h1,
          .take = take_falcon_h1};
}

}  // namespace gridmill::convert_detail
