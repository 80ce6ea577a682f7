#pragma once

#include <string>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/params/weight_format.hpp"

namespace gridmill::job_detail {

/// Writes a checkpoint of the model `config` with random parameters: norm weights 1, everything
/// else uniform around 0 with a standard deviation of 0.02, the same every time; the layers'
/// matrices in codes if `format` says so. Memory stays at a
/// few MiB. @throws FormatError for a wrong configuration, OutputError, IoError.
void write_random_checkpoint(const std::string& path, const Json& config, DType dtype,
                             const WeightFormat& format = {});

}  // namespace gridmill::job_detail
