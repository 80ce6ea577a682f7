#pragma once

#include <functional>
#include <span>

#include "gridmill/job/job_config.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill::job_detail {

/// Inputs for a second generation of rows of a finished job. References must outlive the call.
struct RegenerationJob {
  RunContext& context;
  const JobConfig& config;  ///< of the job that made the file
  const JobPlan& plan;
  const PromptSource& prompts;
};

/// Takes a row as it must stand in the file; the result refers to memory that goes away.
using RegeneratedRow = std::function<void(const RowResult&)>;

/// Generates `rows` by continuous batching, shared out evenly among the replicas: each row arrives
/// on the leader of one. Collective over every rank, with the same rows.
void regenerate_rows(const RegenerationJob& job, std::span<const RowId> rows,
                     const RegeneratedRow& take);

/// The same for a job of fixed batches, which ran on `grid`: whatever the grid of now, every row
/// gets the random numbers of its place in the mesh of then, and leaves the loop with its fsdp
/// group of then.
void regenerate_lockstep_rows(const RegenerationJob& job, const GridShape& grid,
                              std::span<const RowId> rows, const RegeneratedRow& take);

}  // namespace gridmill::job_detail
