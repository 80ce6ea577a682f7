#include "job/predicted_memory.hpp"

#include <algorithm>
#include <vector>

#include "gridmill/checkpoint/parameter_footprint.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/plan/planned_model.hpp"
#include "gridmill/plan/rank_memory.hpp"

namespace gridmill::job_detail {

std::optional<std::uint64_t> predicted_resident_bytes(RunContext& context, const SlotPlan& slots,
                                                      const GeneratorStatistics& statistics) {
  const Backend& backend = context.backend();
  if (!backend.host_memory()) return std::nullopt;
  const Grid& grid = context.grid();
  const RunOptions& options = context.options();
  const ModelParameters parameters = with_stored_formats(
      context.model().parameters(grid.shape().tp, grid.coord().tp),
      context.checkpoint().parameters(), backend, parameter_dtype_from_name(options.param_dtype));
  const ParameterFootprint footprint =
      parameter_footprint(parameters, backend,
                          {.fsdp = grid.shape().fsdp,
                           .gather_once = options.gather_params_once,
                           .fsdp_min_weight_size = options.fsdp_min_weight_size},
                          grid.coord().fsdp);
  const std::int64_t rows = std::max<std::int64_t>(statistics.completed_rows, 1);
  const std::vector<RowLength> lengths = {
      {.prompt = (statistics.prompt_tokens + statistics.shared_tokens + rows - 1) / rows,
       .generated = (statistics.new_tokens + rows - 1) / rows}};
  return rank_memory(
             {.model = context.model(),
              .parameters = parameters,
              .backend = backend,
              .tp_size = grid.shape().tp,
              .expert_share = expert_share(context.checkpoint().model()),
              .passes = simulate_passes(static_cast<std::uint64_t>(rows), lengths, slots, {})},
             footprint)
      .resident();
}

}  // namespace gridmill::job_detail
