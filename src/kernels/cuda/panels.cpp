#include "kernels/cuda/panels.hpp"

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cuda {

PanelTable panel_table(const Weight& weight) {
  PanelTable table{};
  table.panel_bytes = static_cast<std::int64_t>(weight.panel_bytes);
  for (const PanelRun& run : weight.runs) {
    if (run.panels == 0) continue;
    if (table.count == PanelTable::kMostRuns) {
      throw ResourceError(
          fmt::format("a matrix lies in more than {} shards; the cuda backend takes an fsdp of at "
                      "most {}, or --gather-params-once",
                      PanelTable::kMostRuns, PanelTable::kMostRuns));
    }
    table.runs[table.count++] = {run.first_panel, run.panels, run.data};
  }
  return table;
}

}  // namespace gridmill::cuda
