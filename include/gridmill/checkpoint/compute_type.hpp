#pragma once

#include <span>
#include <string>
#include <string_view>

#include "gridmill/base/dtype.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"

namespace gridmill {

/// What products compute in, as BackendOptions says it.
struct ComputeType {
  DType dtype = DType::fp32;
  bool int8_products = false;
};

/// @param name     of --compute-dtype: auto, bf16, fp32, int8.
/// @param stored   all parameters of the model, `where` names it in messages.
/// @param backend  name of the backend that computes (backend_of()).
/// @throws UsageError for int8 without weights in codes.
[[nodiscard]] ComputeType resolve_compute_type(std::string_view name, ParameterDType cast,
                                               std::span<const StoredParameter> stored,
                                               std::string_view backend, const std::string& where);

}  // namespace gridmill
