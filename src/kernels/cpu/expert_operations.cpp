#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/expert_checks.hpp"

namespace gridmill::cpu {

namespace {

constexpr std::size_t kPanelSums = sizeof(float) * kChunkRows * kPanelOutputs;

std::int64_t panels_of(std::int64_t outputs) {
  return (outputs + kPanelOutputs - 1) / kPanelOutputs;
}

/// How the weights of all experts are kept.
WeightFormat format_of(std::span<const ExpertRows> experts) {
  const WeightFormat format =
      experts.empty() ? WeightFormat{} : experts.front().weight->shape.format;
  for (const ExpertRows& expert : experts) {
    GRIDMILL_ASSERT(expert.weight->shape.format == format,
                    "experts of one product need weights of one format");
  }
  return format;
}

}  // namespace

void CpuBackend::row_dots(Stream& /*stream*/, ConstDeviceMatrix x, ConstDeviceVector weights,
                          ConstDeviceVector bias, DeviceMatrix out) {
  GRIDMILL_ASSERT(weights.size == out.columns * x.columns && out.rows == x.rows,
                  "weights are [outputs, inputs]");
  GRIDMILL_ASSERT(bias.empty() || bias.size == out.columns, "wrong size of the bias");
  RowDotsArgs args;
  args.x = x;
  args.weights = weights.data;
  args.bias = bias.empty() ? nullptr : bias.data;
  args.out = out;
  run(kernels_.row_dots, args, x.rows * out.columns, 0);
}

void CpuBackend::gather_pack(Stream& /*stream*/, ConstDeviceMatrix x,
                             std::span<const ExpertRows> experts,
                             std::span<const std::int64_t> rows, PackedRows out) {
  GRIDMILL_ASSERT(out.inputs == x.columns, "wrong width of the result");
  kernels_detail::check_expert_rows(experts, out.rows);
  kernels_detail::check_row_list(experts, rows, out.rows, x.rows);
  std::vector<ExpertView> views;
  for (const ExpertRows& expert : experts) {
    views.push_back({.first = expert.first, .count = expert.count});
  }
  GatherArgs args;
  args.x = x;
  args.experts = views.data();
  args.expert_count = static_cast<std::int64_t>(views.size());
  args.rows = rows.data();
  args.out = out;
  run(kernels_.gather_pack, args, out.rows, 0);
}

std::vector<ExpertView> CpuBackend::views_of(std::span<const ExpertRows> experts,
                                             const PackedRows& x, Fuse fuse) const {
  std::vector<ExpertView> views;
  for (const ExpertRows& expert : experts) {
    check_product(x, *expert.weight, fuse);
    views.push_back({.weights = view_of(*expert.weight),
                     .bias = expert.bias,
                     .first = expert.first,
                     .count = expert.count,
                     .block_inputs = reduction_block_inputs(expert.weight->shape.whole_inputs),
                     .holds_first_block = expert.weight->shape.first_input == 0});
  }
  return views;
}

void CpuBackend::experts_gated(Stream& /*stream*/, const PackedRows& x,
                               std::span<const ExpertRows> experts, const ExpertGate& gate,
                               PackedRows out) {
  kernels_detail::check_experts_gated(x, experts, out);
  if (experts.empty() || out.inputs == 0) return;
  const std::vector<ExpertView> views = views_of(experts, x, Fuse::interleave);
  ExpertsArgs args;
  args.x = x;
  args.experts = views.data();
  args.expert_count = static_cast<std::int64_t>(views.size());
  args.outputs = out.inputs;
  args.gate = gate;
  args.packed_out = out;
  auto* kernel = kernels_.experts_gated;
  if (const WeightFormat format = format_of(experts); format.coded()) {
    args.group = format.group;
    args.x = coded_rows(x, format, {.group = format.group}, views);
    kernel = coded_kernels(format).experts_gated;
  }
  run(kernel, args, args.expert_count * panels_of(args.outputs), 2 * kPanelSums);
}

void CpuBackend::experts_down(Stream& /*stream*/, const PackedRows& x,
                              std::span<const ExpertRows> experts,
                              std::span<const std::int64_t> rows, std::span<const float> weights,
                              const ExpertSums& sums, DeviceMatrix blocks) {
  const std::int64_t block_rows =
      kernels_detail::check_experts_down(x, experts, rows, weights, sums.tp_size, blocks);
  if (block_rows == 0 || blocks.columns == 0) return;
  const std::vector<ExpertView> views = views_of(experts, x, Fuse::concatenate);
  ExpertsArgs args;
  args.x = x;
  args.experts = views.data();
  args.expert_count = static_cast<std::int64_t>(views.size());
  args.outputs = blocks.columns;
  args.rows = rows.data();
  args.weights = weights.data();
  args.block_count = kReductionBlocks / sums.tp_size;
  args.start = sums.start;
  args.block_rows = block_rows;
  args.blocks = blocks.data;
  auto* kernel = kernels_.experts_down;
  if (const WeightFormat format = format_of(experts); format.coded()) {
    args.group = format.group;
    args.x = coded_rows(x, format,
                        {.count = static_cast<int>(args.block_count),
                         .inputs = views.front().block_inputs,
                         .group = format.group},
                        views);
    kernel = coded_kernels(format).experts_down;
  }
  run(kernel, args, panels_of(args.outputs), kPanelSums);
}

}  // namespace gridmill::cpu
