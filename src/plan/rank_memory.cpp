#include "gridmill/plan/rank_memory.hpp"

#include <algorithm>

#include "gridmill/kernels/state.hpp"

namespace gridmill {

std::uint64_t process_bytes() {
  // Measured: VmHWM of `generate` with a model of 1 MB, Open MPI 4.1 in shared memory, is 28 MiB on
  // one rank and 32 to 34 MiB on two to eight.
  constexpr std::uint64_t kProcess = std::uint64_t{32} << 20;
  return kProcess;
}

std::uint64_t row_state_bytes(const Model& model, const Backend& backend, int tp_size,
                              std::int64_t pages) {
  return model.state_bytes_per_slot(tp_size, std::max<std::int64_t>(pages, 1) * kKvPagePositions,
                                    backend.compute_dtype(), KvExtent::window);
}

RankMemory rank_memory(const RankWork& work, const ParameterFootprint& parameters) {
  RankMemory memory{.process = process_bytes(),
                    .private_parameters = parameters.private_bytes,
                    .shared_parameters = parameters.shared_bytes};
  const PassTotals& passes = work.passes;
  if (passes.peak_rows == 0) return memory;
  // Rows of the mean length at the peak; it may lie between two numbers of pages.
  const auto row = [&work](std::int64_t pages) {
    return static_cast<double>(row_state_bytes(work.model, work.backend, work.tp_size, pages));
  };
  const std::int64_t pages = std::max<std::int64_t>(passes.peak_pages / passes.peak_rows, 1);
  const double rest = static_cast<double>(passes.peak_pages - pages * passes.peak_rows);
  memory.states = static_cast<std::uint64_t>(static_cast<double>(passes.peak_rows) * row(pages) +
                                             std::max(rest, 0.0) * (row(pages + 1) - row(pages)));
  memory.workspace = host_workspace_bytes(work.parameters, work.backend, work.tp_size,
                                          passes.peak_tokens, passes.peak_rows, work.expert_share);
  return memory;
}

}  // namespace gridmill
