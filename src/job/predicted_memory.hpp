#pragma once

#include <cstdint>
#include <optional>

#include "gridmill/generate/generator.hpp"
#include "gridmill/generate/slot_plan.hpp"
#include "gridmill/job/run_context.hpp"

namespace gridmill::job_detail {

/// Resident memory of this rank at its peak as `gridmill plan` computes it, for as many rows of
/// such lengths as this rank has run; nothing for a backend without host memory.
/// @param statistics  of a run without failed rows; else too small.
[[nodiscard]] std::optional<std::uint64_t> predicted_resident_bytes(
    RunContext& context, const SlotPlan& slots, const GeneratorStatistics& statistics);

}  // namespace gridmill::job_detail
