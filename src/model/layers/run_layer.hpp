#pragma once

#include <span>
#include <vector>

#include "gridmill/model/model.hpp"
#include "gridmill/model/model_spec.hpp"
#include "model/layout/model_layout.hpp"
#include "model/states.hpp"

namespace gridmill::model_detail {

/// Inputs of every layer of one pass.
struct Pass {
  ExecutionContext& context;
  SequenceStates& states;
  std::span<const TokenSpan> spans;
  DeviceMatrix x;  ///< residual stream [rows, D]
};

/// One layer: its description, and where its parameters and states are.
struct Layer {
  const LayerSpec& spec;
  const LayerParts& parts;
  const std::vector<StatePlace>& states;
};

/// Adds a layer to the residual stream: for each block
/// x += residual_scale * post_norm(mixer(input_scale * norm(input))).
void run_layer(const Pass& pass, const Layer& layer, const UnitWeights& weights);

}  // namespace gridmill::model_detail
