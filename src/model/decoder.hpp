#pragma once

#include <memory>

#include "gridmill/model/model.hpp"
#include "gridmill/model/model_spec.hpp"
#include "model/layers/head.hpp"
#include "model/layout/model_layout.hpp"
#include "model/states.hpp"

namespace gridmill::model_detail {

/// Any model that a description describes.
class Decoder final : public Model {
 public:
  explicit Decoder(ModelSpec spec);

  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] ModelParameters parameters(int tp_size, int tp_rank) const override;
  [[nodiscard]] std::unique_ptr<BatchState> make_pooled_state(
      ExecutionContext& context, int slots, std::int64_t max_length,
      std::int64_t pool_positions) const override;
  [[nodiscard]] std::size_t state_bytes_per_slot(int tp_size, std::int64_t max_length,
                                                 DType compute_dtype,
                                                 KvExtent extent) const override;
  using Model::state_bytes_per_slot;
  void forward(ExecutionContext& context, std::span<const RowSpan> spans, BatchState& state,
               ParameterSource& parameters, const HeadRequest& head) const override;

 private:
  ModelSpec spec_;
  /// Layout of one rank; places are the same for every tp.
  ModelLayout layout_;
  /// Places of states in caches that keep windows, and in those that keep whole rows.
  StatePlan states_;
  StatePlan row_states_;
  Head head_;
  ModelInfo info_;
};

}  // namespace gridmill::model_detail
