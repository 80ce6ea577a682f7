#include <string>

#include "gridmill/base/check.hpp"
#include "kernels/cpu/cpu_backend_detail.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cpu {

namespace {

void check_norm(const Norm& norm, std::int64_t size) {
  GRIDMILL_ASSERT(norm.weight.empty() || norm.weight.size == size, "wrong size of a norm's weight");
  GRIDMILL_ASSERT(norm.bias.empty() || norm.bias.size == size, "wrong size of a norm's bias");
  GRIDMILL_ASSERT(norm.bias.empty() || !norm.weight.empty(), "a norm with bias needs a weight");
}

/// One row of fp32.
std::size_t row_bytes(std::int64_t columns) {
  return static_cast<std::size_t>(columns + 16) * sizeof(float);
}

}  // namespace

void CpuBackend::pack_rows(Stream& /*stream*/, std::span<const ConstDeviceMatrix> x,
                           PackedRows out) {
  std::int64_t columns = 0;
  for (const ConstDeviceMatrix& part : x) {
    GRIDMILL_ASSERT(part.rows == out.rows, "all sources need the rows of the result");
    columns += part.columns;
  }
  GRIDMILL_ASSERT(columns == out.inputs, "sources have " + std::to_string(columns) +
                                             " columns in all, the result " +
                                             std::to_string(out.inputs));
  PackArgs args;
  args.sources = x.data();
  args.source_count = x.size();
  args.out = out;
  run(kernels_.pack_rows, args, out.rows, row_bytes(columns));
}

void CpuBackend::embed(Stream& /*stream*/, const Weight& table, std::int64_t first_id,
                       std::span<const TokenId> ids, DeviceMatrix out) {
  GRIDMILL_ASSERT(
      out.rows == static_cast<std::int64_t>(ids.size()) && out.columns == table.shape.inputs,
      "wrong shape of the embedding rows");
  GRIDMILL_ASSERT(table.fuse == Fuse::concatenate, "an embedding table has one part");
  EmbedArgs args;
  args.table = view_of(table);
  args.layout = table.layout;
  args.inputs = table.shape.inputs;
  args.first_id = first_id;
  args.ids_held = table.shape.outputs;
  args.ids = ids.data();
  args.out = out;
  run(kernels_.embed, args, out.rows, 0);
}

void CpuBackend::norm_pack(Stream& /*stream*/, ConstDeviceMatrix x, const Norm& norm,
                           std::span<const std::int64_t> rows, PackedRows out) {
  check_norm(norm, x.columns);
  GRIDMILL_ASSERT(out.rows == (rows.empty() ? x.rows : static_cast<std::int64_t>(rows.size())) &&
                      out.inputs == x.columns,
                  "wrong shape of the result");
  for (const std::int64_t row : rows) GRIDMILL_ASSERT(row >= 0 && row < x.rows, "no such row");
  NormArgs args;
  args.x = x;
  args.norm = norm;
  args.rows = rows.empty() ? nullptr : rows.data();
  args.packed_out = out;
  run(kernels_.norm_pack, args, out.rows, row_bytes(x.columns));
}

void CpuBackend::norm_add(Stream& /*stream*/, ConstDeviceMatrix y, const Norm& norm,
                          DeviceMatrix x) {
  check_norm(norm, y.columns);
  GRIDMILL_ASSERT(x.rows == y.rows && x.columns == y.columns, "wrong shape of the result");
  NormArgs args;
  args.x = y;
  args.norm = norm;
  args.added_to = x;
  run(kernels_.norm_add, args, y.rows, row_bytes(y.columns));
}

void CpuBackend::norm_rows(Stream& /*stream*/, ConstDeviceMatrix x, const Norm& norm,
                           DeviceMatrix out) {
  check_norm(norm, x.columns);
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  NormArgs args;
  args.x = x;
  args.norm = norm;
  args.added_to = out;
  run(kernels_.norm_rows, args, x.rows, 0);
}

void CpuBackend::scale_add(Stream& /*stream*/, float x_scale, ConstDeviceMatrix y, float y_scale,
                           DeviceMatrix x) {
  kernels_detail::check_scale_add(y, x);
  run(kernels_.scale_add, ScaleAddArgs{x_scale, y, y_scale, x}, x.rows, 0);
}

void CpuBackend::channel_affine(Stream& /*stream*/, ConstDeviceMatrix x, ConstDeviceVector weight,
                                ConstDeviceVector bias, Activation activation, DeviceMatrix out) {
  GRIDMILL_ASSERT(weight.size == x.columns && (bias.empty() || bias.size == x.columns),
                  "weight and bias have one element a column");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == x.columns, "wrong shape of the result");
  AffineArgs args;
  args.x = x;
  args.weight = weight;
  args.bias = bias;
  args.activation = activation;
  args.out = out;
  run(kernels_.channel_affine, args, x.rows, 0);
}

void CpuBackend::block_diagonal(Stream& /*stream*/, ConstDeviceMatrix x, ConstDeviceVector blocks,
                                std::int64_t groups, DeviceMatrix out) {
  GRIDMILL_ASSERT(groups > 0 && x.columns % groups == 0 && out.columns % groups == 0,
                  "groups have to divide inputs and outputs");
  GRIDMILL_ASSERT(blocks.size == out.columns * (x.columns / groups) && out.rows == x.rows,
                  "blocks are [groups, outputs / groups, inputs / groups]");
  BlockDiagonalArgs args;
  args.x = x;
  args.blocks = blocks.data;
  args.groups = groups;
  args.out = out;
  run(kernels_.block_diagonal, args, x.rows, 0);
}

void CpuBackend::skip_gate_pack(Stream& /*stream*/, ConstDeviceMatrix h, ConstDeviceVector skip,
                                ConstDeviceMatrix a, ConstDeviceMatrix z, Activation activation,
                                PackedRows out) {
  const std::int64_t width = h.columns;
  GRIDMILL_ASSERT(
      skip.size == width && a.columns == width && z.columns == width && out.inputs == width,
      "all inputs have the same columns");
  GRIDMILL_ASSERT(a.rows == h.rows && z.rows == h.rows && out.rows == h.rows,
                  "all inputs have the same rows");
  SkipGateArgs args;
  args.h = h;
  args.skip = skip;
  args.a = a;
  args.z = z;
  args.activation = activation;
  args.out = out;
  run(kernels_.skip_gate_pack, args, h.rows, row_bytes(width));
}

}  // namespace gridmill::cpu
