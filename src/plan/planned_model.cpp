#include "gridmill/plan/planned_model.hpp"

#include <cstdint>
#include <map>
#include <variant>

#include "gridmill/model/model_spec.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill {

double expert_share(const Json& config) {
  double experts = 0;
  double taken = 0;
  for (const LayerSpec& layer : read_model_spec(config).layers) {
    for (const BlockSpec& block : layer.blocks) {
      const auto* spec = std::get_if<ExpertsSpec>(&block.mixer);
      if (spec == nullptr) continue;
      experts += static_cast<double>(spec->experts);
      taken += static_cast<double>(spec->per_token);
    }
  }
  return experts > 0 ? taken / experts : 1;
}

std::uint64_t PlannedModel::stored_bytes() const {
  std::uint64_t bytes = 0;
  for (const StoredParameter& parameter : stored) bytes += parameter.size_bytes();
  return bytes;
}

PlannedModel planned_model(const CheckpointFile& checkpoint) {
  return {.model = make_model(checkpoint.model()),
          .stored = checkpoint.parameters(),
          .expert_share = gridmill::expert_share(checkpoint.model())};
}

PlannedModel planned_model(const Json& config, DType dtype, const WeightFormat& format) {
  PlannedModel planned{.model = make_model(config), .expert_share = gridmill::expert_share(config)};
  const ModelParameters parameters = planned.model->parameters(1, 0);
  std::map<std::string, std::int64_t> coded;
  if (format.coded()) coded = codable_parameters(parameters);
  for (const ParameterSpec& spec : parameters.stored) {
    StoredParameter& stored = planned.stored.emplace_back();
    stored.spec = spec;
    stored.dtype = dtype;
    const auto found = coded.find(spec.name);
    if (found == coded.end()) continue;
    stored.dtype = DType::fp32;  // of code * scale
    stored.format = format;
    stored.block = found->second;
  }
  return planned;
}

}  // namespace gridmill
