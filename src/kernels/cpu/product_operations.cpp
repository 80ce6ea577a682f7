#include <algorithm>
#include <array>
#include <span>
#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/code_layout.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/cpu/memory.hpp"

namespace gridmill::cpu {

namespace {

/// Accumulators of one panel for the rows of a pass.
constexpr std::size_t kPanelSums = sizeof(float) * kChunkRows * kPanelOutputs;

bool is_group_size(int tp_size) {
  return tp_size == 1 || tp_size == 2 || tp_size == 4 || tp_size == kReductionBlocks;
}

void check_bias(ConstDeviceVector bias, std::int64_t outputs) {
  GRIDMILL_ASSERT(bias.empty() || bias.size == outputs, "bias has " + std::to_string(bias.size) +
                                                            " elements for " +
                                                            std::to_string(outputs) + " outputs");
}

std::int64_t panels_of(std::int64_t outputs) {
  return (outputs + kPanelOutputs - 1) / kPanelOutputs;
}

}  // namespace

PanelView CpuBackend::view_of(const Weight& w) const {
  return {w.runs.data(), static_cast<std::int64_t>(w.runs.size()), w.panel_bytes};
}

void CpuBackend::check_product(const PackedRows& x, const Weight& w, Fuse fuse) const {
  GRIDMILL_ASSERT(w.layout == MatrixLayout::panels, "a product needs a weight in panels");
  GRIDMILL_ASSERT(w.fuse == fuse, "the weight's panels have another order");
  GRIDMILL_ASSERT(x.inputs == w.shape.inputs, "rows have " + std::to_string(x.inputs) +
                                                  " inputs, the weight " +
                                                  std::to_string(w.shape.inputs));
  GRIDMILL_ASSERT(w.panel_bytes == panel_bytes(w.shape, w.layout),
                  "the weight was prepared for another backend, shape or compute dtype");
  const std::int64_t panels =
      fuse == Fuse::interleave ? 2 * panels_of(w.shape.outputs / 2) : panels_of(w.shape.outputs);
  std::int64_t next = 0;
  for (const PanelRun& run : w.runs) {
    GRIDMILL_ASSERT(run.first_panel == next,
                    "panel " + std::to_string(next) + " of the weight is not held");
    next += run.panels;
  }
  GRIDMILL_ASSERT(next >= panels, "panel " + std::to_string(next) + " of the weight is not held");
}

void CpuBackend::run_product(const ProductArgs& args, const Weight& w) {
  if (args.x.rows == 0 || args.outputs == 0) return;
  ProductArgs complete = args;
  complete.weights = view_of(w);
  auto* kernel = kernels_.product;
  if (const WeightFormat& format = w.shape.format; format.coded()) {
    complete.chains.group = format.group;
    const std::array<ExpertView, 1> all = {{{.count = args.x.rows}}};
    complete.x = coded_rows(args.x, format, complete.chains, all);
    kernel = coded_kernels(format).product;
  }
  // gate and up, or the four levels of a tree of chains.
  const std::size_t levels = args.chains.count > 1 ? 4 : 2;
  run(kernel, complete, panels_of(args.outputs), levels * kPanelSums);
}

const CodedKernels& CpuBackend::coded_kernels(const WeightFormat& format) const {
  return format.codes == WeightCodes::int4 ? kernels_.int4 : kernels_.int8;
}

PackedRows CpuBackend::coded_rows(const PackedRows& x, const WeightFormat& format,
                                  const ChainView& chains, std::span<const ExpertView> parts) {
  const std::int64_t block = chains.count == 1 && chains.inputs == 0 ? x.inputs : chains.inputs;
  const auto bytes = static_cast<std::size_t>(
      x.rows * coded_row_bytes(x.inputs, block, format.group, step_inputs(format.codes)));
  if (coded_rows_.size_bytes() < bytes) coded_rows_ = allocate_zeroed(bytes);
  QuantizeArgs args;
  args.x = x;
  args.chains = chains;
  args.parts = parts.data();
  args.part_count = static_cast<std::int64_t>(parts.size());
  args.out = coded_rows_.data();
  run(coded_kernels(format).quantize_rows, args,
      (x.rows + kBlockRows - 1) / kBlockRows * groups_in(x.inputs, block, format.group), 0);
  return {coded_rows_.data(), x.rows, x.inputs};
}

void CpuBackend::linear(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                        ConstDeviceVector bias, float soft_cap, DeviceMatrix out) {
  check_product(x, w, Fuse::concatenate);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == w.shape.outputs,
                  "wrong shape of the result");
  ProductArgs args;
  args.x = x;
  args.outputs = w.shape.outputs;
  args.bias = bias;
  args.soft_cap = soft_cap;
  args.out = out;
  run_product(args, w);
}

void CpuBackend::linear_gated(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                              ConstDeviceVector bias, Activation activation, PackedRows out) {
  check_product(x, w, Fuse::interleave);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(
      w.shape.outputs % 2 == 0 && out.rows == x.rows && out.inputs == w.shape.outputs / 2,
      "wrong shape of the result");
  ProductArgs args;
  args.x = x;
  args.epilogue = Epilogue::gated;
  args.outputs = w.shape.outputs / 2;
  args.bias = bias;
  args.activation = activation;
  args.packed_out = out;
  run_product(args, w);
}

void CpuBackend::linear_activated(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                  ConstDeviceVector bias, Activation activation, PackedRows out) {
  check_product(x, w, Fuse::concatenate);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(out.rows == x.rows && out.inputs == w.shape.outputs, "wrong shape of the result");
  ProductArgs args;
  args.x = x;
  args.epilogue = Epilogue::activated;
  args.outputs = w.shape.outputs;
  args.bias = bias;
  args.activation = activation;
  args.packed_out = out;
  run_product(args, w);
}

void CpuBackend::linear_row_parallel(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                     ConstDeviceVector bias, bool accumulate, DeviceMatrix out) {
  check_product(x, w, Fuse::concatenate);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(w.shape.row_parallel && w.shape.inputs == w.shape.whole_inputs,
                  "every block of a row-parallel matrix has to be here");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == w.shape.outputs,
                  "wrong shape of the result");
  ProductArgs args;
  args.x = x;
  args.chains = {kReductionBlocks, reduction_block_inputs(w.shape.whole_inputs)};
  args.outputs = w.shape.outputs;
  args.bias = bias;
  args.accumulate = accumulate;
  args.out = out;
  run_product(args, w);
}

void CpuBackend::linear_partial(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                int tp_size, DeviceMatrix out) {
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  check_product(x, w, Fuse::concatenate);
  const std::int64_t block = reduction_block_inputs(w.shape.whole_inputs);
  const int blocks = kReductionBlocks / tp_size;
  GRIDMILL_ASSERT(w.shape.row_parallel && w.shape.inputs <= block * blocks,
                  "the matrix has more inputs than its blocks");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == w.shape.outputs,
                  "wrong shape of the result");
  ProductArgs args;
  args.x = x;
  args.chains = {blocks, block};
  args.outputs = w.shape.outputs;
  args.out = out;
  run_product(args, w);
}

void CpuBackend::join_partials(Stream& /*stream*/, const float* parts, int tp_size,
                               ConstDeviceVector bias, bool accumulate, DeviceMatrix out) {
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  check_bias(bias, out.columns);
  JoinArgs args;
  args.parts = parts;
  args.part_count = tp_size;
  args.bias = bias;
  args.accumulate = accumulate;
  args.out = out;
  run(kernels_.join_partials, args, out.rows, 0);
}

void CpuBackend::select(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                        ConstDeviceVector bias, float soft_cap, std::int64_t vocab_size,
                        std::int64_t first_id, int tp_size, std::span<const SelectRow> rows,
                        SelectPartial* partials, DeviceMatrix kept) {
  check_product(x, w, Fuse::concatenate);
  check_bias(bias, w.shape.outputs);
  GRIDMILL_ASSERT(static_cast<std::int64_t>(rows.size()) == x.rows, "one selection a row");
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  const std::int64_t group_ids = vocabulary_group_ids(vocab_size);
  const int groups = kVocabularyGroups / tp_size;
  GRIDMILL_ASSERT(w.shape.outputs <= group_ids * groups &&
                      first_id + w.shape.outputs <= vocab_size &&
                      (w.shape.outputs == 0 || first_id % (group_ids * groups) == 0),
                  "a rank holds whole groups of the vocabulary");
  if (rows.empty()) return;
  for (const SelectRow& row : rows) {
    GRIDMILL_ASSERT(row.kept < kept.rows && (row.kept < 0 || kept.columns == w.shape.outputs),
                    "no row for the kept logits");
  }
  SelectArgs args;
  args.kept = kept;
  args.x = x;
  args.weights = view_of(w);
  args.bias = bias;
  args.soft_cap = soft_cap;
  args.ids = w.shape.outputs;
  args.first_id = first_id;
  args.rows = rows.data();
  args.blocks = (w.shape.outputs + kVocabularyBlock - 1) / kVocabularyBlock;
  args.blocks_of_group = group_ids / kVocabularyBlock;
  args.groups = groups;
  block_partials_.resize(static_cast<std::size_t>(x.rows * args.blocks));
  args.block_partials = block_partials_.data();
  args.partials = partials;
  if (args.ids > 0) {
    auto* kernel = kernels_.select_blocks;
    if (const WeightFormat& format = w.shape.format; format.coded()) {
      args.chains.group = format.group;
      const std::array<ExpertView, 1> all = {{{.count = x.rows}}};
      args.x = coded_rows(x, format, args.chains, all);
      kernel = coded_kernels(format).select_blocks;
    }
    run(kernel, args, panels_of(args.ids) / kSelectPanels + 1, kSelectPanels * kPanelSums);
  }
  run(kernels_.join_blocks, args, x.rows,
      2 * sizeof(float) * static_cast<std::size_t>(args.blocks_of_group));
}

}  // namespace gridmill::cpu
