#include <array>
#include <memory>

#include "convert/derived_tensors.hpp"
#include "convert/families/decoder.hpp"
#include "convert/families/experts.hpp"
#include "convert/families/family.hpp"
#include "convert/families/rotary.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

// gpt-oss: attention sinks, windows in every second layer, clamped experts with biases. Published
// files hold the experts in MXFP4, others as they are, stored (in, out).
namespace gridmill::convert_detail {

namespace {

constexpr std::array<NamePair, 3> kInLayer = {{
    {"sinks", "self_attn.sinks"},
    {"router", "mlp.router.weight"},
    {"router_bias", "mlp.router.bias"},
}};
constexpr std::array<const char*, 2> kMatrices = {"gate_up_proj", "down_proj"};

void check_quantization(ConfigFields& config) {
  const Json* found = config.value("quantization_config");
  if (found == nullptr) return;
  ConfigFields quantization(*found, config.where() + ": quantization_config");
  const std::string method = quantization.text("quant_method");
  if (method != "mxfp4") {
    quantization.fail("quant_method",
                      "is \"" + method + "\", which is unsupported; expected mxfp4");
  }
}

ModelSpec read_gpt_oss(ConfigFields& config) {
  check_quantization(config);
  const Decoder decoder = read_decoder(
      config, {.kv_heads = 8, .max_positions = 131072, .head_width = 64, .norm_eps = 1e-5});
  const NormSpec norm{.kind = NormKind::rms, .eps = decoder.norm_eps};
  ModelSpec spec = begin_model(decoder, norm);
  AttentionSpec attention = attention_of(decoder);
  attention.rotary = rotary_index(
      spec, read_rotary(config, decoder.head_width, decoder.max_length, {.theta = 150000}));
  attention.sinks = true;
  attention.qkv_bias = config.flag("attention_bias", true);
  attention.out_bias = attention.qkv_bias;
  config.ignore({"experts_per_token", "initial_context_length"});
  ExpertsSpec experts = read_experts(
      config,
      {.experts = "num_local_experts", .size = "intermediate_size", .default_per_token = 4});
  experts.activation = ExpertsSpec().activation;
  experts.kind = ExpertKind::clamped;
  experts.limit = config.positive("swiglu_limit", 7);
  experts.router_weights = RouterWeights::softmax_chosen;
  experts.router_bias = true;
  experts.bias = true;
  const auto windows = read_windows(config, decoder.layers, read_window_size(config, 128),
                                    [](std::int64_t layer) { return layer % 2 == 0; });
  for (const std::optional<std::int64_t>& window : windows) {
    attention.window = window;
    spec.layers.push_back(make_layer(LayerOrder::pre, norm, attention, experts));
  }
  ignore_decoder_fields(config);
  return spec;
}

/// Experts in MXFP4 become tensors of values, named like the plain ones but stored (out, in).
void expand_experts(ForeignTensors& tensors, const ModelSpec& model) {
  for (std::size_t layer = 0; layer < model.layers.size(); ++layer) {
    for (const char* matrix : kMatrices) {
      const std::string base = fmt::format("model.layers.{}.mlp.experts.{}", layer, matrix);
      const ForeignTensor* blocks = tensors.find(base + "_blocks");
      if (blocks == nullptr) continue;
      const ForeignTensor* scales = tensors.find(base + "_scales");
      if (scales == nullptr) {
        throw FormatError(fmt::format("{}: tensor {}_scales is missing beside {}_blocks",
                                      blocks->file(), base, base));
      }
      tensors.mark_used(base + "_blocks");
      tensors.mark_used(base + "_scales");
      tensors.add(std::make_unique<Mxfp4Tensor>(base + "_expanded", *blocks, *scales));
    }
  }
}

/// Rows of one expert in a stored tensor of all experts.
ParameterTake take_expert(const WantedParameter& wanted, std::int64_t expert,
                          const std::string& leaf) {
  const bool bias = leaf.ends_with("_bias");
  const std::string matrix = leaf.substr(0, leaf.find('_'));
  const bool down = matrix == "down";
  const std::string base =
      fmt::format("model.layers.{}.mlp.experts.{}", *wanted.layer, kMatrices.at(down ? 1 : 0));
  std::int64_t experts = 0;
  for (const BlockSpec& block :
       wanted.model.layers.at(static_cast<std::size_t>(*wanted.layer)).blocks) {
    if (const auto* spec = std::get_if<ExpertsSpec>(&block.mixer)) experts = spec->experts;
  }
  const std::int64_t rows = rows_of(wanted.spec);
  const std::int64_t columns = columns_of(wanted.spec);
  // Gate and up alternate.
  const std::int64_t step = down ? 1 : 2;
  const std::int64_t offset = matrix == "up" ? 1 : 0;
  TakenBlock block{.rows = {0, rows}, .columns = {0, columns}};
  ParameterTake take;
  if (bias) {
    take.tensor = base + "_bias";
    take.shape = {experts, rows * step};
    block.first = expert * rows * step + offset;
    block.row_stride = step;
  } else if (wanted.tensors.contains(base + "_expanded")) {  // (out, in)
    take.tensor = base + "_expanded";
    take.shape = {experts, rows * step, columns};
    block.first = (expert * rows * step + offset) * columns;
    block.row_stride = step * columns;
  } else {  // (in, out)
    take.tensor = base;
    take.shape = {experts, columns, rows * step};
    block.first = expert * columns * rows * step + offset;
    block.row_stride = step;
    block.column_stride = rows * step;
  }
  take.blocks = {block};
  return take;
}

ParameterTake take_gpt_oss(const WantedParameter& wanted) {
  if (const auto expert = expert_of(wanted.leaf)) {
    return take_expert(wanted, expert->first, expert->second);
  }
  return take_with_routers(wanted, {.in_layer = kInLayer});
}

}  // namespace

Family gpt_oss_family() {
  return {.model_type = "gpt_oss",
          .architecture = "GptOssForCausalLM",
          .tokens = {.eod = {200002}},
          .read = read_gpt_oss,
          .take = take_gpt_oss,
          .derive = expand_experts,
          .reads_quantization = true};
}

}  // namespace gridmill::convert_detail
