#include <algorithm>
#include <string>
#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/rows.hpp"
#include "kernels/cuda/select.hpp"

namespace gridmill::cuda {

namespace {

bool is_group_size(int tp_size) {
  return tp_size == 1 || tp_size == 2 || tp_size == 4 || tp_size == kReductionBlocks;
}

void check_bias(ConstDeviceVector bias, std::int64_t outputs) {
  GRIDMILL_ASSERT(bias.empty() || bias.size == outputs, "bias has " + std::to_string(bias.size) +
                                                            " elements for " +
                                                            std::to_string(outputs) + " outputs");
}

void check_out(const DeviceMatrix& out, std::int64_t rows, std::int64_t columns) {
  GRIDMILL_ASSERT(out.rows == rows && out.columns == columns, "wrong shape of the result");
}

void check_out(const PackedRows& out, std::int64_t rows, std::int64_t inputs) {
  GRIDMILL_ASSERT(out.rows == rows && out.inputs == inputs, "wrong shape of the result");
}

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

}  // namespace

void CudaBackend::run_product(Stream& stream, ProductArgs args, const Weight& w, Fuse fuse) {
  GRIDMILL_ASSERT(w.layout == MatrixLayout::panels, "a product needs a weight in panels");
  GRIDMILL_ASSERT(w.fuse == fuse, "the weight's panels have another order");
  GRIDMILL_ASSERT(args.x.inputs == w.shape.inputs, "rows have " + std::to_string(args.x.inputs) +
                                                       " inputs, the weight " +
                                                       std::to_string(w.shape.inputs));
  GRIDMILL_ASSERT(w.panel_bytes == panel_bytes(w.shape, w.layout),
                  "the weight was prepared for another backend, shape or compute dtype");
  std::int64_t next = 0;
  for (const PanelRun& run : w.runs) {
    GRIDMILL_ASSERT(run.first_panel == next,
                    "panel " + std::to_string(next) + " of the weight is not held");
    next += run.panels;
  }
  const std::int64_t panels =
      (args.outputs + kPanelOutputs - 1) / kPanelOutputs * (fuse == Fuse::interleave ? 2 : 1);
  GRIDMILL_ASSERT(next >= panels, "panel " + std::to_string(next) + " of the weight is not held");
  if (args.x.rows == 0 || args.outputs == 0) return;
  args.weight = panel_table(w);
  if (!w.shape.row_parallel) args.block_inputs = product_block_inputs(w.shape.inputs);
  const LaunchStream on = cuda_stream(stream).handle();
  if (args.epilogue == Epilogue::weighted) return launch_weighted_product(on, dtype_, args);
  launch_product(on, dtype_, args);
}

void CudaBackend::linear(Stream& stream, const PackedRows& x, const Weight& w,
                         ConstDeviceVector bias, float soft_cap, DeviceMatrix out) {
  check_bias(bias, w.shape.outputs);
  check_out(out, x.rows, w.shape.outputs);
  ProductArgs args;
  args.x = x;
  args.outputs = w.shape.outputs;
  args.bias = bias;
  args.soft_cap = soft_cap;
  args.out = out;
  run_product(stream, args, w, Fuse::concatenate);
}

void CudaBackend::linear_gated(Stream& stream, const PackedRows& x, const Weight& w,
                               ConstDeviceVector bias, Activation activation, PackedRows out) {
  check_bias(bias, w.shape.outputs);
  check_out(out, x.rows, w.shape.outputs / 2);
  ProductArgs args;
  args.x = x;
  args.outputs = w.shape.outputs / 2;
  args.epilogue = Epilogue::gated;
  args.bias = bias;
  args.activation = activation;
  args.packed_out = out;
  run_product(stream, args, w, Fuse::interleave);
}

void CudaBackend::linear_activated(Stream& stream, const PackedRows& x, const Weight& w,
                                   ConstDeviceVector bias, Activation activation, PackedRows out) {
  check_bias(bias, w.shape.outputs);
  check_out(out, x.rows, w.shape.outputs);
  ProductArgs args;
  args.x = x;
  args.outputs = w.shape.outputs;
  args.epilogue = Epilogue::activated;
  args.bias = bias;
  args.activation = activation;
  args.packed_out = out;
  run_product(stream, args, w, Fuse::concatenate);
}

void CudaBackend::linear_row_parallel(Stream& stream, const PackedRows& x, const Weight& w,
                                      ConstDeviceVector bias, bool accumulate, DeviceMatrix out) {
  GRIDMILL_ASSERT(w.shape.row_parallel && w.shape.inputs == w.shape.whole_inputs,
                  "every block of a row-parallel matrix has to be here");
  check_bias(bias, w.shape.outputs);
  check_out(out, x.rows, w.shape.outputs);
  ProductArgs args;
  args.x = x;
  args.outputs = w.shape.outputs;
  args.blocks = kReductionBlocks;
  args.block_inputs = reduction_block_inputs(w.shape.whole_inputs);
  args.epilogue = Epilogue::joined;
  args.bias = bias;
  args.accumulate = accumulate;
  args.out = out;
  run_product(stream, args, w, Fuse::concatenate);
}

void CudaBackend::linear_partial(Stream& stream, const PackedRows& x, const Weight& w, int tp_size,
                                 DeviceMatrix out) {
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  const std::int64_t block = reduction_block_inputs(w.shape.whole_inputs);
  const int blocks = kReductionBlocks / tp_size;
  GRIDMILL_ASSERT(w.shape.row_parallel && w.shape.inputs <= block * blocks,
                  "the matrix has more inputs than its blocks");
  check_out(out, x.rows, w.shape.outputs);
  ProductArgs args;
  args.x = x;
  args.outputs = w.shape.outputs;
  args.blocks = blocks;
  args.block_inputs = block;
  args.epilogue = Epilogue::joined;
  args.out = out;
  run_product(stream, args, w, Fuse::concatenate);
}

void CudaBackend::join_partials(Stream& stream, const float* parts, int tp_size,
                                ConstDeviceVector bias, bool accumulate, DeviceMatrix out) {
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  check_bias(bias, out.columns);
  launch_join(
      cuda_stream(stream).handle(),
      {.parts = parts, .tp_size = tp_size, .bias = bias, .accumulate = accumulate, .out = out});
}

void CudaBackend::select(Stream& stream, const PackedRows& x, const Weight& w,
                         ConstDeviceVector bias, float soft_cap, std::int64_t vocab_size,
                         std::int64_t first_id, int tp_size, std::span<const SelectRow> rows,
                         SelectPartial* partials, DeviceMatrix kept) {
  GRIDMILL_ASSERT(static_cast<std::int64_t>(rows.size()) == x.rows, "one selection a row");
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  const std::int64_t group_ids = vocabulary_group_ids(vocab_size);
  const int groups = kVocabularyGroups / tp_size;
  const std::int64_t ids = w.shape.outputs;
  GRIDMILL_ASSERT(ids <= group_ids * groups && first_id + ids <= vocab_size &&
                      (ids == 0 || first_id % (group_ids * groups) == 0),
                  "a rank holds whole groups of the vocabulary");
  CudaStream& on = cuda_stream(stream);
  // Room for whole steps of rows: as slots fill, it seldom has to grow.
  constexpr std::int64_t kRowStep = 64;
  const auto most =
      static_cast<std::size_t>(std::min((x.rows + kRowStep - 1) / kRowStep * kRowStep, kLogitRows));
  auto* logits = reinterpret_cast<float*>(
      on.scratch(CudaStream::Use::logits, most * static_cast<std::size_t>(ids) * sizeof(float)));
  auto* blocks = reinterpret_cast<SelectPartial*>(
      on.scratch(CudaStream::Use::blocks,
                 most * static_cast<std::size_t>(select_blocks(ids)) * sizeof(SelectPartial)));
  for (std::int64_t first = 0; first < x.rows; first += kLogitRows) {
    const std::int64_t count = std::min(kLogitRows, x.rows - first);
    const PackedRows piece{x.data + packed_bytes(first, x.inputs), count, x.inputs};
    const DeviceMatrix out{logits, count, ids, ids};
    linear(stream, piece, w, bias, soft_cap, out);
    SelectArgs args;
    args.logits = out;
    std::vector<FirstStageRow> stage_rows;
    for (const SelectRow& row :
         rows.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))) {
      stage_rows.push_back({.temperature = row.plan.temperature,
                            .key = row.plan.key,
                            .target = row.target,
                            .logprobs = row.logprobs,
                            .kept = row.kept});
    }
    args.rows = on.stage(std::span<const FirstStageRow>(stage_rows));
    args.kept = kept;
    args.first_id = first_id;
    args.group_ids = group_ids;
    args.groups = groups;
    args.blocks = blocks;
    args.partials = partials + first * groups;
    launch_select(on.handle(), args);
  }
}

}  // namespace gridmill::cuda
