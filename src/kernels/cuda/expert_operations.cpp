#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/experts.hpp"
#include "kernels/expert_checks.hpp"

namespace gridmill::cuda {

namespace {

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

/// The packed rows of one expert, as packed rows by themselves.
PackedRows rows_of(const Backend& backend, const PackedRows& rows, const ExpertRows& expert) {
  return {rows.data + backend.packed_bytes(expert.first, rows.inputs), expert.count, rows.inputs};
}

/// `values` where an expert has its rows, `none` between them.
template <typename T>
std::vector<T> only_experts(std::span<const ExpertRows> experts, std::span<const T> values,
                            T none) {
  std::vector<T> result(values.size(), none);
  for (const ExpertRows& expert : experts) {
    const auto first = static_cast<std::size_t>(expert.first);
    const auto count = static_cast<std::size_t>(expert.count);
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(first), count,
                result.begin() + static_cast<std::ptrdiff_t>(first));
  }
  return result;
}

}  // namespace

void CudaBackend::row_dots(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weights,
                           ConstDeviceVector bias, DeviceMatrix out) {
  GRIDMILL_ASSERT(weights.size == out.columns * x.columns && out.rows == x.rows,
                  "weights are [outputs, inputs]");
  GRIDMILL_ASSERT(bias.empty() || bias.size == out.columns, "wrong size of the bias");
  launch_row_dots(cuda_stream(stream).handle(), {x, weights, bias, out});
}

void CudaBackend::gather_pack(Stream& stream, ConstDeviceMatrix x,
                              std::span<const ExpertRows> experts,
                              std::span<const std::int64_t> rows, PackedRows out) {
  GRIDMILL_ASSERT(out.inputs == x.columns, "wrong width of the result");
  kernels_detail::check_expert_rows(experts, out.rows);
  kernels_detail::check_row_list(experts, rows, out.rows, x.rows);
  const std::vector<std::int64_t> list = only_experts(experts, rows, std::int64_t{-1});
  CudaStream& on = cuda_stream(stream);
  launch_gather(on.handle(), dtype_, {x, on.stage(std::span<const std::int64_t>(list)), out});
}

void CudaBackend::experts_gated(Stream& stream, const PackedRows& x,
                                std::span<const ExpertRows> experts, const ExpertGate& gate,
                                PackedRows out) {
  kernels_detail::check_experts_gated(x, experts, out);
  for (const ExpertRows& expert : experts) {
    ProductArgs args;
    args.x = rows_of(*this, x, expert);
    args.outputs = out.inputs;
    args.epilogue = Epilogue::gated;
    args.bias = expert.bias;
    args.activation = gate.activation;
    args.gate_limit = gate.limit;
    args.packed_out = rows_of(*this, out, expert);
    run_product(stream, args, *expert.weight, Fuse::interleave);
  }
}

void CudaBackend::experts_down(Stream& stream, const PackedRows& x,
                               std::span<const ExpertRows> experts,
                               std::span<const std::int64_t> rows, std::span<const float> weights,
                               const ExpertSums& sums, DeviceMatrix blocks) {
  const std::int64_t block_rows =
      kernels_detail::check_experts_down(x, experts, rows, weights, sums.tp_size, blocks);
  if (block_rows == 0 || blocks.columns == 0) return;
  CudaStream& on = cuda_stream(stream);
  if (sums.start == ExpertSums::Start::zero) launch_clear(on.handle(), {blocks});
  if (experts.empty()) return;
  const std::int64_t* row_list = on.stage(rows);
  const float* row_weights = on.stage(weights);
  for (const ExpertRows& expert : experts) {
    const Weight& w = *expert.weight;
    ProductArgs args;
    args.x = rows_of(*this, x, expert);
    args.outputs = blocks.columns;
    args.blocks = kReductionBlocks / sums.tp_size;
    args.block_inputs = reduction_block_inputs(w.shape.whole_inputs);
    args.epilogue = Epilogue::weighted;
    if (w.shape.first_input == 0) args.bias = expert.bias;
    args.out = blocks;
    args.rows = row_list + expert.first;
    args.weights = row_weights + expert.first;
    args.block_rows = block_rows;
    run_product(stream, args, w, Fuse::concatenate);
  }
}

}  // namespace gridmill::cuda
