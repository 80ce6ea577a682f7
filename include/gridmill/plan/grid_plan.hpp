#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/grid_shape.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/generate/pass_simulation.hpp"
#include "gridmill/generate/slot_plan.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/kernels/machine_limits.hpp"
#include "gridmill/plan/planned_model.hpp"
#include "gridmill/plan/rank_memory.hpp"
#include "gridmill/results/layout.hpp"

namespace gridmill {

/// Nodes that are all alike.
struct PlanMachine {
  int nodes = 1;
  int cores = 1;                   ///< of a node
  std::uint64_t memory_bytes = 0;  ///< of a node, for the job
};

/// What a node's memory and cores give at best, and how near a job comes to that.
struct PlanSpeed {
  MachineLimits limits;
  /// Of the least time that the limits allow, over the time that a job takes; 1 = at best.
  double share = 1;
  std::string source{};  ///< where the numbers come from, for people
};

/// One job, whatever the grid.
struct PlanRequest {
  const PlannedModel& model;
  const Backend& backend;  ///< of the compute dtype; one with host memory
  ParameterDType cast = ParameterDType::checkpoint;
  std::int64_t fsdp_min_weight_size = 16384;
  SlotRequest slots{};  ///< as given; max_length is that of the job
  ResultShape result;
  /// Of the rows, in their order, again from the first where there are more rows; not empty.
  std::vector<RowLength> lengths;
  std::optional<PlanSpeed> speed;  ///< none: no times

  [[nodiscard]] double mean_tokens() const;  ///< of a row at its end
};

/// Where ranks stand.
struct GridChoice {
  GridShape grid;
  int ranks_per_node = 1;
  bool gather_once = false;
};

/// Times of the whole job on the slowest replica, in seconds.
struct PlanTimes {
  double generate_s = 0;
  double tokens_per_s = 0;  ///< generated, of all replicas
  double moving_share = 0;  ///< of the least time: passes that memory limits, the rest is products
};

/// One job on one grid.
struct GridPlan {
  GridChoice choice;
  int threads = 1;      ///< of a rank
  std::string refusal;  ///< why the job does not fit, and what to change; empty = it fits
  ParameterFootprint parameters;
  RankMemory rank;                     ///< at the peak, with rows of their mean length
  std::uint64_t node_bytes = 0;        ///< of all ranks of a node, what they share counted once
  std::uint64_t state_room_bytes = 0;  ///< that states of a rank may take at most
  std::uint64_t row_bytes = 0;         ///< states of a row of the longest length on a rank
  SlotPlan slots{};
  std::uint64_t replica_rows = 0;  ///< of the busiest replica
  PassTotals passes{};             ///< of that replica
  std::uint64_t bytes_read = 0;    ///< of the checkpoint, by all ranks
  std::uint64_t load_bytes = 0;    ///< received from other ranks while loading, by all ranks
  double exchanged_bytes = 0;      ///< received from other ranks in passes, by all ranks
  std::optional<PlanTimes> times;

  [[nodiscard]] int replicas() const { return choice.grid.dp * choice.grid.fsdp; }
  [[nodiscard]] bool fits() const { return refusal.empty(); }
};

/// @throws UsageError if the model cannot be split that way, or ranks do not fill the nodes.
[[nodiscard]] GridPlan plan_grid(const PlanRequest& request, const PlanMachine& machine,
                                 const GridChoice& choice);

/// Parts of a grid that are given; 0 = any.
struct GridConstraint {
  GridShape grid{.dp = 0, .fsdp = 0, .tp = 0};
  int ranks_per_node = 0;
  std::optional<bool> gather_once{};
};
/// Every grid that fills the nodes and cuts the model, the best first: those that fit before those
/// that do not; then the shorter time, or without speed fewer bytes exchanged for a token, then
/// fewer bytes of weights read by all ranks in a pass for a slot.
[[nodiscard]] std::vector<GridPlan> plan_grids(const PlanRequest& request,
                                               const PlanMachine& machine,
                                               const GridConstraint& constraint);
/// Why `plan` stands behind `best`, in one clause.
[[nodiscard]] std::string why_behind(const GridPlan& plan, const GridPlan& best);

}  // namespace gridmill
