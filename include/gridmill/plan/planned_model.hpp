#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill {

/// A model without its weights: how it computes, and how a checkpoint stores its parameters.
struct PlannedModel {
  std::unique_ptr<Model> model;
  std::vector<StoredParameter> stored{};  ///< without offsets and hashes, if there is no checkpoint
  double expert_share = 1;                ///< expert_share() of its configuration

  [[nodiscard]] std::uint64_t stored_bytes() const;
};

/// Share of a model's experts that a token goes through; 1 without experts.
/// @param config  gridmill's own configuration (docs/models.md).
/// @throws FormatError as make_model()
[[nodiscard]] double expert_share(const Json& config);

/// @throws FormatError as make_model()
[[nodiscard]] PlannedModel planned_model(const CheckpointFile& checkpoint);
/// What `gridmill convert` would write of such a model.
/// @param config  gridmill's own configuration (docs/models.md).
/// @param dtype   of parameters without codes.
/// @param format  of the matrices that are worth codes (codable_parameters()).
/// @throws FormatError as make_model()
[[nodiscard]] PlannedModel planned_model(const Json& config, DType dtype,
                                         const WeightFormat& format);

}  // namespace gridmill
