#pragma once

#include <cstdint>
#include <vector>

#include "convert/config_fields_detail.hpp"
#include "convert/families/decoder.hpp"
#include "convert/families/names.hpp"
#include "gridmill/model/model_spec.hpp"

namespace gridmill::convert_detail {

/// Field names of a mixture of experts.
struct ExpertFields {
  const char* experts = "num_experts";
  const char* size = "moe_intermediate_size";
  std::int64_t default_per_token = 0;
};
/// Gated experts with softmax over all of them, weights normalised iff `norm_topk_prob`.
[[nodiscard]] ExpertsSpec read_experts(ConfigFields& config, const ExpertFields& fields);

/// Which layers have experts: all but `mlp_only_layers` and those that `decoder_sparse_step` skips.
[[nodiscard]] std::vector<bool> read_sparse_layers(ConfigFields& config, std::int64_t layers);

/// take_named, and routers, whose tensors are matrices [experts, hidden size] or [1, hidden size].
[[nodiscard]] ParameterTake take_with_routers(const WantedParameter& wanted, const Names& names);

/// Parameters of Qwen models with experts, in the names of Llama where there is no other.
[[nodiscard]] ParameterTake take_qwen_moe(const WantedParameter& wanted);

/// Windows of Qwen models: from layer `max_window_layers` on, iff use_sliding_window.
[[nodiscard]] std::vector<std::optional<std::int64_t>> read_qwen_windows(ConfigFields& config,
                                                                         std::int64_t layers);

}  // namespace gridmill::convert_detail
