#pragma once

#include "gridmill/job/job_watch.hpp"
#include "gridmill/results/result_store.hpp"
#include "job/run_report_detail.hpp"

namespace gridmill::job_detail {

/// Steps of a rank of a run that writes rows before an emergency exit.
/// @param store   of a leader, else nullptr; may be closed or in close().
/// @param record  of the rank that completes it, else nullptr.
[[nodiscard]] LastWords last_words(ResultStore* store, RunRecord* record);

}  // namespace gridmill::job_detail
