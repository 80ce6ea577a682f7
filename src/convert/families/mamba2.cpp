#include <array>
#include <optional>

#include "convert/families/decoder.hpp"
#include "convert/families/family.hpp"
#include "convert/families/recurrence.hpp"
#include "convert/foreign_model_detail.hpp"
#include "convert/hugging_face_detail.hpp"
#include "gridmill/base/format.hpp"

// Mamba-2: one mixer a layer, no attention, no feed-forward.
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 3> kOuter = {{
    {"embedding", "backbone.embeddings.weight"},
    {"final_norm", "backbone.norm_f.weight"},
    {"head", "lm_head.weight"},
}};

ModelSpec read_mamba2(ConfigFields& config) {
  const NormSpec norm{.kind = NormKind::rms, .eps = config.positive("layer_norm_epsilon", 1e-5)};
  ModelSpec spec;
  spec.vocab_size = config.size("vocab_size", 32768);
  spec.hidden_size = config.size("hidden_size", 4096);
  spec.head = {.norm = norm, .tied = config.flag("tie_word_embeddings", false)};

  LinearRecurrenceSpec mixer;
  mixer.heads = config.size("num_heads", 128);
  mixer.value_width = config.size("head_dim", 64);
  mixer.key_heads = config.size("n_groups", 8);
  mixer.key_width = config.size("state_size", 128);
  mixer.conv_kernel = config.size("conv_kernel", 4);
  mixer.conv_bias = config.flag("use_conv_bias", true);
  mixer.skip = true;
  mixer.norm = RecurrenceNormSpec{.norm = norm, .groups = mixer.key_heads};
  mixer.gate_first = true;
  if (mixer.heads % mixer.key_heads != 0) {
    config.fail("n_groups",
                fmt::format("is {}, which does not divide {} heads", mixer.key_heads, mixer.heads));
  }
  const double expand = config.positive("expand", 2);
  const auto inner = static_cast<double>(mixer.heads * mixer.value_width);
  if (expand * static_cast<double>(spec.hidden_size) != inner) {
    config.fail("expand", fmt::format("is {}: times hidden_size {} it is not num_heads * head_dim "
                                      "= {}",
                                      expand, spec.hidden_size, inner));
  }
  if (read_activation(config, "hidden_act", "silu") != Activation::silu) {
    config.fail("hidden_act", "is unsupported here; expected silu");
  }
  const std::int64_t layers = config.size("num_hidden_layers", 64);
  if (layers > kMostLayers) config.fail("num_hidden_layers", fmt::format("is {}", layers));
  const BlockSpec block{.norm = norm, .mixer = mixer};
  spec.layers.assign(static_cast<std::size_t>(layers), {{block}});

  check_time_step_limit(config);
  config.refuse({"use_bias"});
  ignore_common_fields(config);
  // How it is computed and initialised. The norm behind the recurrence is always there, and behind
  // the gate, whatever rms_norm and norm_before_gate say.
  config.ignore({"chunk_size", "time_step_min", "time_step_max", "time_step_floor",
                 "time_step_rank", "rescale_prenorm_residual", "residual_in_fp32", "rms_norm",
                 "norm_before_gate", "use_mambapy", "use_associative_scan"});
  return spec;
}

ParameterTake take_from_mamba2(const WantedParameter& wanted) {
  if (!wanted.layer) return take_named(wanted, {.outer = kOuter});
  const std::string layer = fmt::format("backbone.layers.{}.", *wanted.layer);
  if (wanted.leaf == "recurrence_norm") return take_whole(layer + "norm.weight", wanted.spec);
  return take_mamba2(wanted, layer + "mixer.");
}

}  // namespace

Family mamba2_family() {
  return {.model_type = "mamba2",
          .architecture = "Mamba2ForCausalLM",
          .tokens = {.bos = 0, .eod = {2}},
          .read = read_mamba2,
          .take = take_from_mamba2};
}

}  // namespace gridmill::convert_detail
