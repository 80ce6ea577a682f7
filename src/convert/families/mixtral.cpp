#include <array>

#include "convert/families/decoder.hpp"
#include "convert/families/experts.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

// Mixtral: Mistral with experts, whose weights sum to one.
namespace gridmill::convert_detail {

namespace {

ModelSpec read_mixtral(ConfigFields& config) {
  const Decoder decoder =
      read_decoder(config, {.kv_heads = 8, .max_positions = 131072, .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary = rotary_index(
      spec, read_rotary(config, decoder.head_width, decoder.max_length, {.theta = 1e6}));
  ExpertsSpec experts = read_experts(
      config,
      {.experts = "num_local_experts", .size = "intermediate_size", .default_per_token = 2});
  experts.router_weights = RouterWeights::softmax_shared;
  const auto windows = read_windows(config, decoder.layers, read_window_size(config, std::nullopt),
                                    [](std::int64_t) { return true; });
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, experts));
  }
  ignore_decoder_fields(config);
  config.refuse({"attention_bias"});
  return spec;
}

ParameterTake take_mixtral(const WantedParameter& wanted) {
  if (const auto expert = expert_of(wanted.leaf)) {
    constexpr std::array<NamePair, 3> kWeights = {{{"gate", "w1"}, {"up", "w3"}, {"down", "w2"}}};
    for (const auto& [ours, theirs] : kWeights) {
      if (expert->second != ours) continue;
      return take_whole(fmt::format("model.layers.{}.block_sparse_moe.experts.{}.{}.weight",
                                    *wanted.layer, expert->first, theirs),
                        wanted.spec);
    }
    throw_no_source(wanted.spec.name);
  }
  constexpr std::array<NamePair, 1> kRouter = {{{"router", "block_sparse_moe.gate.weight"}}};
  return take_with_routers(wanted, {.in_layer = kRouter});
}

}  // namespace

Family mixtral_family() {
  return {.model_type = "mixtral",
          .architecture = "MixtralForCausalLM",
          .tokens = {.bos = 1, .eod = {2}},
          .read = read_mixtral,
          .take = take_mixtral};
}

}  // namespace gridmill::convert_detail
