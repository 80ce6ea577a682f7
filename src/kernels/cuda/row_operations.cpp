#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/rows.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cuda {

namespace {

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

void check_norm(const Norm& norm, std::int64_t size) {
  GRIDMILL_ASSERT(norm.weight.empty() || norm.weight.size == size, "wrong size of a norm's weight");
  GRIDMILL_ASSERT(norm.bias.empty() || norm.bias.size == size, "wrong size of a norm's bias");
  GRIDMILL_ASSERT(norm.bias.empty() || !norm.weight.empty(), "a norm with bias needs a weight");
}

}  // namespace

void CudaBackend::pack_rows(Stream& stream, std::span<const ConstDeviceMatrix> x, PackedRows out) {
  PackArgs args;
  args.out = out;
  for (const ConstDeviceMatrix& part : x) {
    GRIDMILL_ASSERT(part.rows == out.rows, "all sources need the rows of the result");
    args.x = part;
    args.last = args.first_column + part.columns == out.inputs;
    launch_pack(cuda_stream(stream).handle(), dtype_, args);
    args.first_column += part.columns;
  }
  GRIDMILL_ASSERT(args.first_column == out.inputs,
                  "sources have " + std::to_string(args.first_column) +
                      " columns in all, the result " + std::to_string(out.inputs));
}

void CudaBackend::embed(Stream& stream, const Weight& table, std::int64_t first_id,
                        std::span<const TokenId> ids, DeviceMatrix out) {
  GRIDMILL_ASSERT(
      out.rows == static_cast<std::int64_t>(ids.size()) && out.columns == table.shape.inputs,
      "wrong shape of the embedding rows");
  GRIDMILL_ASSERT(table.fuse == Fuse::concatenate, "an embedding table has one part");
  const bool plain = table.layout == MatrixLayout::rows;
  EmbedArgs args;
  args.table = panel_table(table);
  args.panel_rows = plain ? 1 : kPanelOutputs;
  args.row_stride = plain ? table.shape.inputs : padded_inputs(table.shape.inputs);
  args.table_rows = table.shape.outputs;
  args.first_id = first_id;
  args.ids = cuda_stream(stream).stage(ids);
  args.out = out;
  launch_embed(cuda_stream(stream).handle(), dtype_, args);
}

void CudaBackend::norm_pack(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                            std::span<const std::int64_t> rows, PackedRows out) {
  check_norm(norm, x.columns);
  const std::int64_t count = rows.empty() ? x.rows : static_cast<std::int64_t>(rows.size());
  GRIDMILL_ASSERT(out.rows == count && out.inputs == x.columns, "wrong shape of the result");
  for (const std::int64_t row : rows) GRIDMILL_ASSERT(row >= 0 && row < x.rows, "no such row");
  NormArgs args;
  args.x = x;
  args.norm = norm;
  args.rows = cuda_stream(stream).stage(rows);
  args.packed = out;
  launch_norm_pack(cuda_stream(stream).handle(), dtype_, args);
}

void CudaBackend::norm_add(Stream& stream, ConstDeviceMatrix y, const Norm& norm, DeviceMatrix x) {
  check_norm(norm, y.columns);
  GRIDMILL_ASSERT(x.rows == y.rows && x.columns == y.columns, "wrong shape of the result");
  NormArgs args;
  args.x = y;
  args.norm = norm;
  args.added = x;
  launch_norm_add(cuda_stream(stream).handle(), args);
}

void CudaBackend::norm_rows(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                            DeviceMatrix out) {
  check_norm(norm, x.columns);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  NormArgs args;
  args.x = x;
  args.norm = norm;
  args.added = out;
  launch_norm_rows(cuda_stream(stream).handle(), args);
}

void CudaBackend::scale_add(Stream& stream, float x_scale, ConstDeviceMatrix y, float y_scale,
                            DeviceMatrix x) {
  kernels_detail::check_scale_add(y, x);
  launch_scale_add(cuda_stream(stream).handle(), {x_scale, y, y_scale, x});
}

void CudaBackend::channel_affine(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weight,
                                 ConstDeviceVector bias, Activation activation, DeviceMatrix out) {
  GRIDMILL_ASSERT(weight.size == x.columns && (bias.empty() || bias.size == x.columns),
                  "weight and bias have one element a column");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  launch_channel_affine(cuda_stream(stream).handle(), {x, weight, bias, activation, out});
}

void CudaBackend::block_diagonal(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector blocks,
                                 std::int64_t groups, DeviceMatrix out) {
  GRIDMILL_ASSERT(groups > 0 && x.columns % groups == 0 && out.columns % groups == 0,
                  "groups have to divide inputs and outputs");
  GRIDMILL_ASSERT(blocks.size == out.columns * (x.columns / groups) && out.rows == x.rows,
                  "blocks are [groups, outputs / groups, inputs / groups]");
  launch_block_diagonal(cuda_stream(stream).handle(), {x, blocks, groups, out});
}

void CudaBackend::skip_gate_pack(Stream& stream, ConstDeviceMatrix h, ConstDeviceVector skip,
                                 ConstDeviceMatrix a, ConstDeviceMatrix z, Activation activation,
                                 PackedRows out) {
  const std::int64_t width = h.columns;
  GRIDMILL_ASSERT(
      skip.size == width && a.columns == width && z.columns == width && out.inputs == width,
      "all inputs have the same columns");
  GRIDMILL_ASSERT(a.rows == h.rows && z.rows == h.rows && out.rows == h.rows,
                  "all inputs have the same rows");
  launch_skip_gate(cuda_stream(stream).handle(), dtype_, {h, skip, a, z, activation, out});
}

}  // namespace gridmill::cuda
