#pragma once

#include "gridmill/base/json.hpp"
#include "gridmill/bench/bench.hpp"
#include "gridmill/generate/slot_plan.hpp"

namespace gridmill::bench_detail {

/// `batch` rows, all in flight: `config.samples` rows a prompt, prompts of `config.shared_prefix`
/// common and `config.prompt` own tokens. Measures in turns, `config.repeat` times: the rows with
/// sharing, without it, and the floor, in which model and states are driven by hand: the common
/// start is computed once and for nothing else, a prompt's own tokens once, and copies of states
/// take no time.
/// @return fields of a line.
[[nodiscard]] OrderedJson measure_sharing(const BenchConfig& config, const BenchSubject& subject,
                                          int batch, const SlotPlan& plan);

}  // namespace gridmill::bench_detail
