#include "convert/families/experts.hpp"

#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

ExpertsSpec read_experts(ConfigFields& config, const ExpertFields& fields) {
  ExpertsSpec experts;
  experts.experts = config.size(fields.experts);
  experts.per_token = config.size(
      "num_experts_per_tok",
      fields.default_per_token == 0 ? std::nullopt : std::optional(fields.default_per_token));
  experts.size = config.size(fields.size);
  experts.activation = read_activation(config, "hidden_act", "silu");
  if (experts.per_token > experts.experts) {
    config.fail("num_experts_per_tok",
                fmt::format("is {}, but there are {} experts", experts.per_token, experts.experts));
  }
  return experts;
}

std::vector<bool> read_sparse_layers(ConfigFields& config, std::int64_t layers) {
  const std::int64_t step = config.size("decoder_sparse_step", 1);
  std::vector<bool> sparse;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    sparse.push_back((layer + 1) % step == 0);
  }
  if (const Json* dense = config.value("mlp_only_layers")) {
    if (!dense->is_array()) config.fail("mlp_only_layers", "is no list of layers");
    for (const Json& entry : *dense) {
      if (!entry.is_number_integer() || entry.get<std::int64_t>() < 0 ||
          entry.get<std::int64_t>() >= layers) {
        config.fail("mlp_only_layers",
                    fmt::format("holds something else than layers 0 to {}", layers - 1));
      }
      sparse[entry.get<std::size_t>()] = false;
    }
  }
  return sparse;
}

ParameterTake take_with_routers(const WantedParameter& wanted, const Names& names) {
  if (wanted.leaf != "router" && wanted.leaf != "shared_router") return take_named(wanted, names);
  const std::int64_t width = wanted.model.hidden_size;
  return take_flattened(wanted, names, {rows_of(wanted.spec) / width, width});
}

std::vector<std::optional<std::int64_t>> read_qwen_windows(ConfigFields& config,
                                                           std::int64_t layers) {
  constexpr std::int64_t kDefaultWindow = 4096;
  constexpr std::int64_t kDefaultFullLayers = 28;
  std::optional<std::int64_t> window;
  if (config.flag("use_sliding_window", false)) window = read_window_size(config, kDefaultWindow);
  config.ignore({"sliding_window", "max_window_layers"});
  const std::int64_t first =
      window ? config.integer("max_window_layers", kDefaultFullLayers) : layers;
  if (first < 0) config.fail("max_window_layers", "is negative");
  return read_windows(config, layers, window,
                      [first](std::int64_t layer) { return layer >= first; });
}

}  // namespace gridmill::convert_detail
