#pragma once

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/bench/bench.hpp"

namespace gridmill {

/// One run of `gridmill bench` on one rank and a checkpoint: `config.model`, made of random weights
/// if it does not exist, or a temporary one; so that a line also has the time of loading.
/// @param model  configuration of the weights to make; null if `config.model` exists.
/// @throws UsageError as check_rows_fit(); whatever making and reading a checkpoint throws.
void run_bench_job(const BenchConfig& config, const Json& model);

}  // namespace gridmill
