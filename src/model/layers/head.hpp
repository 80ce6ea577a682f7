#pragma once

#include <cstdint>
#include <span>

#include "gridmill/model/model.hpp"
#include "model/layers/workspace.hpp"
#include "model/layout/unit_builder.hpp"

namespace gridmill::model_detail {

/// Final norm and head: where they are in the head's unit.
struct Head {
  PartIndex weight = 0;
  PartIndex bias = -1;
  PartIndex norm_weight = -1;  ///< -1 = no final norm
  PartIndex norm_bias = -1;
  NormKind norm_kind = NormKind::rms;
  float norm_eps = 1e-6F;
  float scale = 1;  ///< of logits; the norm's output and the bias carry it
  float soft_cap = 0;
  std::int64_t vocab_size = 0;
};

/// Only rows `wanted` of the residual stream `x` go through the norm and the head. Fills what
/// `request` names; finished on return. Collective over the tp group.
void run_head(const Head& head, ExecutionContext& context, Workspace& workspace,
              const UnitWeights& weights, ConstDeviceMatrix x, std::span<const std::int64_t> wanted,
              const HeadRequest& request);

}  // namespace gridmill::model_detail
