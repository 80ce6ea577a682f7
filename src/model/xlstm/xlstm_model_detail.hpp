#pragma once

#include <memory>

#include "gridmill/model/model.hpp"
#include "model/layers/head_detail.hpp"
#include "model/xlstm/xlstm_config_detail.hpp"
#include "model/xlstm/xlstm_parameters_detail.hpp"

namespace gridmill::model_detail {

/// mLSTM language models: Hugging Face xLSTM, NX-AI xLSTM large, xlstm-jax. Formulas:
/// docs/models.md, docs/numerics.md section 6.
class XlstmModel final : public Model {
 public:
  explicit XlstmModel(XlstmConfig config);

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
  XlstmConfig config_;
  ModelInfo info_;
  XlstmLayerParts parts_;
  Head head_;
  UnitId first_layer_ = 0;
};

}  // namespace gridmill::model_detail
