#pragma once

#include <memory>

#include "gridmill/model/model.hpp"
#include "model/llama/llama_config_detail.hpp"
#include "model/llama/llama_parameters_detail.hpp"

namespace gridmill::model_detail {

/// Llama, Mistral, Qwen2, Qwen3, SmolLM; the Llama of xlstm-jax. Formulas: docs/models.md.
class LlamaModel final : public Model {
 public:
  explicit LlamaModel(LlamaConfig config);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] ModelParameters parameters(int tp_size, int tp_rank) const override;
  [[nodiscard]] std::unique_ptr<BatchState> make_pooled_state(
      ExecutionContext& context, int slots, std::int64_t max_length,
      std::int64_t pool_positions) const override;
  [[nodiscard]] std::size_t state_bytes_per_slot(int tp_size, std::int64_t max_length,
                                                 DType compute_dtype) const override;
  void forward(ExecutionContext& context, std::span<const RowSpan> spans, BatchState& state,
               ParameterSource& parameters, const HeadRequest& head) const override;

 private:
  LlamaConfig config_;
  ModelInfo info_;
  LlamaLayerParts parts_;
  PartIndex head_ = 0;
  PartIndex final_norm_ = 0;
  UnitId first_layer_ = 0;
};

}  // namespace gridmill::model_detail
