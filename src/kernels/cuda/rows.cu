#include <cuda_platform.hpp>

#include "kernels/cuda/math.cuh"
#include "kernels/cuda/norm.cuh"
#include "kernels/cuda/rows.hpp"

namespace gridmill::cuda {

namespace {

/// Columns of a row that one thread block of an elementwise kernel takes.
constexpr int kPiece = 4 * kRowThreads;

LaunchGrid pieces(std::int64_t rows, std::int64_t columns) {
  return {static_cast<unsigned>(rows), static_cast<unsigned>((columns + kPiece - 1) / kPiece), 1};
}

/// Calls visit(column) for the columns of this block's piece.
template <typename Visit>
GRIDMILL_DEVICE void for_each_column(std::int64_t columns, Visit visit) {
  const std::int64_t begin = static_cast<std::int64_t>(block_y()) * kPiece;
  for (std::int64_t i = begin + thread_index(); i < begin + kPiece && i < columns;
       i += kRowThreads) {
    visit(i);
  }
}

template <DType Compute>
GRIDMILL_KERNEL void pack_kernel(PackArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t stride = padded_inputs(args.out.inputs);
  const std::int64_t columns = args.last ? stride - args.first_column : args.x.columns;
  for_each_column(columns, [&](std::int64_t i) {
    const float value = i < args.x.columns ? args.x.data[row * args.x.stride + i] : 0.0F;
    store_element<Compute>(args.out.data, row * stride + args.first_column + i, value);
  });
}

/// Values of a row that a thread keeps, and columns of the widest such row: 4,096.
constexpr int kKept = 16;
constexpr std::int64_t kKeptColumns = std::int64_t{kKept} * kRowThreads;

/// A row whose values, weights and biases are all asked for at once: with few rows, a pass waits
/// for memory once, not three times.
template <DType Compute>
GRIDMILL_KERNEL void norm_pack_kept_kernel(NormArgs args) {
  GRIDMILL_SHARED float scratch[8];
  const std::int64_t row = block_x();
  const std::int64_t source = args.rows == nullptr ? row : args.rows[row];
  const std::int64_t columns = args.x.columns;
  const float* x = args.x.data + source * args.x.stride;
  const bool weighs = args.norm.weight.size != 0;
  const bool adds = weighs && args.norm.bias.size != 0;
  float kept[kKept] = {};
  float weight[kKept] = {};
  float bias[kKept] = {};
  for_own_elements<kKept>(columns, [&](std::int64_t i, int step) { kept[step] = x[i]; });
  for_own_elements<kKept>(weighs ? columns : 0, [&](std::int64_t i, int step) {
    weight[step] = args.norm.weight.data[i];
  });
  for_own_elements<kKept>(adds ? columns : 0,
                          [&](std::int64_t i, int step) { bias[step] = args.norm.bias.data[i]; });
  const NormScale scale = norm_scale<kKept>(
      args.norm.kind, args.norm.eps, [&](std::int64_t, int step) { return kept[step]; }, columns,
      scratch);
  const std::int64_t stride = padded_inputs(columns);
  for_own_elements<kKept>(stride, [&](std::int64_t i, int step) {
    const float value =
        i < columns ? normalized(scale, kept[step], weighs, weight[step], adds, bias[step]) *
                          args.norm.scale
                    : 0.0F;
    store_element<Compute>(args.packed.data, row * stride + i, value);
  });
}

template <DType Compute>
GRIDMILL_KERNEL void norm_pack_kernel(NormArgs args) {
  GRIDMILL_SHARED float scratch[8];
  const std::int64_t row = block_x();
  const std::int64_t source = args.rows == nullptr ? row : args.rows[row];
  const float* x = args.x.data + source * args.x.stride;
  const NormScale scale = norm_scale(args.norm.kind, args.norm.eps, x, args.x.columns, scratch);
  const std::int64_t stride = padded_inputs(args.x.columns);
  for (std::int64_t i = thread_index(); i < stride; i += kRowThreads) {
    const float value =
        i < args.x.columns
            ? normalized(scale, x[i], args.norm.weight, args.norm.bias, i) * args.norm.scale
            : 0.0F;
    store_element<Compute>(args.packed.data, row * stride + i, value);
  }
}

GRIDMILL_KERNEL void norm_add_kernel(NormArgs args) {
  GRIDMILL_SHARED float scratch[8];
  const std::int64_t row = block_x();
  const float* x = args.x.data + row * args.x.stride;
  const NormScale scale = norm_scale(args.norm.kind, args.norm.eps, x, args.x.columns, scratch);
  float* out = args.added.data + row * args.added.stride;
  for (std::int64_t i = thread_index(); i < args.x.columns; i += kRowThreads) {
    out[i] =
        out[i] + normalized(scale, x[i], args.norm.weight, args.norm.bias, i) * args.norm.scale;
  }
}

GRIDMILL_KERNEL void norm_rows_kernel(NormArgs args) {
  GRIDMILL_SHARED float scratch[8];
  const std::int64_t row = block_x();
  const float* x = args.x.data + row * args.x.stride;
  float* out = args.added.data + row * args.added.stride;
  const NormScale scale = norm_scale(args.norm.kind, args.norm.eps, x, args.x.columns, scratch);
  for (std::int64_t i = thread_index(); i < args.x.columns; i += kRowThreads) {
    out[i] = normalized(scale, x[i], args.norm.weight, args.norm.bias, i) * args.norm.scale;
  }
}

GRIDMILL_KERNEL void scale_add_kernel(ScaleAddArgs args) {
  const std::int64_t row = block_x();
  for_each_column(args.x.columns, [&](std::int64_t i) {
    float& x = args.x.data[row * args.x.stride + i];
    const float scaled = args.x_scale * x;
    x = args.y.data == nullptr ? scaled
                               : fmaf(args.y_scale, args.y.data[row * args.y.stride + i], scaled);
  });
}

template <DType Compute>
GRIDMILL_KERNEL void embed_kernel(EmbedArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t index = args.ids[row] - args.first_id;
  if (index < 0 || index >= args.table_rows) return;
  const std::int64_t panel = index / args.panel_rows;
  for (int run = 0; run < args.table.count; ++run) {
    const PanelTable::Run& held = args.table.runs[run];
    if (panel < held.first_panel || panel >= held.first_panel + held.panels) continue;
    const std::byte* data = held.data + (panel - held.first_panel) * args.table.panel_bytes;
    const std::int64_t first = index % args.panel_rows * args.row_stride;
    for_each_column(args.out.columns, [&](std::int64_t i) {
      args.out.data[row * args.out.stride + i] = load_element<Compute>(data, first + i);
    });
  }
}

GRIDMILL_KERNEL void join_kernel(JoinArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t part = args.out.rows * args.out.columns;
  for_each_column(args.out.columns, [&](std::int64_t i) {
    const float* first = args.parts + row * args.out.columns + i;
    float sums[kReductionBlocks];
#pragma unroll
    for (int rank = 0; rank < kReductionBlocks; ++rank) {
      sums[rank] = rank < args.tp_size ? first[rank * part] : 0.0F;
    }
    float value = sums[0];
    if (args.tp_size >= 2) value = sums[0] + sums[1];
    if (args.tp_size >= 4) value = value + (sums[2] + sums[3]);
    if (args.tp_size == 8) value = value + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    if (args.bias.size != 0) value = value + args.bias.data[i];
    float& out = args.out.data[row * args.out.stride + i];
    out = args.accumulate ? out + value : value;
  });
}

GRIDMILL_KERNEL void affine_kernel(AffineArgs args) {
  const std::int64_t row = block_x();
  for_each_column(args.out.columns, [&](std::int64_t i) {
    float value = args.x.data[row * args.x.stride + i] * args.weight.data[i];
    if (args.bias.size != 0) value = value + args.bias.data[i];
    args.out.data[row * args.out.stride + i] = activate_of(args.activation, value);
  });
}

GRIDMILL_KERNEL void diagonal_kernel(DiagonalArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t inputs = args.x.columns / args.groups;
  const std::int64_t outputs = args.out.columns / args.groups;
  for_each_column(args.out.columns, [&](std::int64_t o) {
    const float* x = args.x.data + row * args.x.stride + o / outputs * inputs;
    const float* w = args.blocks.data + o * inputs;
    float sum = 0.0F;
    for (std::int64_t k = 0; k < inputs; ++k) sum = fmaf(x[k], w[k], sum);
    args.out.data[row * args.out.stride + o] = sum;
  });
}

template <DType Compute>
GRIDMILL_KERNEL void skip_gate_kernel(SkipGateArgs args) {
  const std::int64_t row = block_x();
  const std::int64_t stride = padded_inputs(args.out.inputs);
  for_each_column(stride, [&](std::int64_t i) {
    float value = 0.0F;
    if (i < args.out.inputs) {
      const float sum = args.h.data[row * args.h.stride + i] +
                        args.skip.data[i] * args.a.data[row * args.a.stride + i];
      value = sum * activate_of(args.activation, args.z.data[row * args.z.stride + i]);
    }
    store_element<Compute>(args.out.data, row * stride + i, value);
  });
}

/// kernel<bf16> or kernel<fp32>.
template <typename Args>
void launch_either(LaunchStream stream, DType compute_dtype, void (*bf16)(Args), void (*fp32)(Args),
                   LaunchGrid grid, const Args& args) {
  launch(stream, compute_dtype == DType::bf16 ? bf16 : fp32, grid, kRowThreads, 0, args);
}

}  // namespace

void launch_pack(LaunchStream stream, DType compute_dtype, const PackArgs& args) {
  const std::int64_t columns =
      args.last ? padded_inputs(args.out.inputs) - args.first_column : args.x.columns;
  launch_either(stream, compute_dtype, pack_kernel<DType::bf16>, pack_kernel<DType::fp32>,
                pieces(args.out.rows, columns), args);
}

void launch_norm_pack(LaunchStream stream, DType compute_dtype, const NormArgs& args) {
  const LaunchGrid rows{static_cast<unsigned>(args.packed.rows), 1, 1};
  if (padded_inputs(args.x.columns) <= kKeptColumns) {
    return launch_either(stream, compute_dtype, norm_pack_kept_kernel<DType::bf16>,
                         norm_pack_kept_kernel<DType::fp32>, rows, args);
  }
  launch_either(stream, compute_dtype, norm_pack_kernel<DType::bf16>, norm_pack_kernel<DType::fp32>,
                rows, args);
}

void launch_norm_add(LaunchStream stream, const NormArgs& args) {
  launch(stream, norm_add_kernel, {static_cast<unsigned>(args.x.rows), 1, 1}, kRowThreads, 0, args);
}

void launch_norm_rows(LaunchStream stream, const NormArgs& args) {
  launch(stream, norm_rows_kernel, {static_cast<unsigned>(args.x.rows), 1, 1}, kRowThreads, 0,
         args);
}

void launch_scale_add(LaunchStream stream, const ScaleAddArgs& args) {
  launch(stream, scale_add_kernel, pieces(args.x.rows, args.x.columns), kRowThreads, 0, args);
}

void launch_embed(LaunchStream stream, DType compute_dtype, const EmbedArgs& args) {
  launch_either(stream, compute_dtype, embed_kernel<DType::bf16>, embed_kernel<DType::fp32>,
                pieces(args.out.rows, args.out.columns), args);
}

void launch_join(LaunchStream stream, const JoinArgs& args) {
  launch(stream, join_kernel, pieces(args.out.rows, args.out.columns), kRowThreads, 0, args);
}

void launch_channel_affine(LaunchStream stream, const AffineArgs& args) {
  launch(stream, affine_kernel, pieces(args.out.rows, args.out.columns), kRowThreads, 0, args);
}

void launch_block_diagonal(LaunchStream stream, const DiagonalArgs& args) {
  launch(stream, diagonal_kernel, pieces(args.out.rows, args.out.columns), kRowThreads, 0, args);
}

void launch_skip_gate(LaunchStream stream, DType compute_dtype, const SkipGateArgs& args) {
  launch_either(stream, compute_dtype, skip_gate_kernel<DType::bf16>, skip_gate_kernel<DType::fp32>,
                pieces(args.out.rows, padded_inputs(args.out.inputs)), args);
}

}  // namespace gridmill::cuda
