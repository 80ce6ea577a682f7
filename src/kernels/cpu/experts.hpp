// Mixtures of experts (docs/numerics.md, section "Experts"). Every expert is a product of its own
// over its own rows, which lie packed at a multiple of 8: a row's result depends on itself only.
// With few rows each expert's weights come from memory once, which is all the time there is; with
// many the products run as those of a dense layer.
#pragma once

#include "kernels/cpu/products.hpp"
#include "kernels/cpu/rows.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

/// Sum of x[i] w[i] in 16 lanes.
GRIDMILL_SIMD float lane_dot(const float* x, const float* w, std::int64_t n) {
  F32x16 sum = zero();
  std::int64_t i = 0;
  for (; i + 16 <= n; i += 16) sum = fma(load(x + i), load(w + i), sum);
  if (i < n) {
    const int left = lanes_left(n, i);
    // Lanes past the end keep their sum, whatever its sign of zero.
    sum = select(lanes_between(0, left), fma(load_first(x + i, left), load_first(w + i, left), sum),
                 sum);
  }
  return tree_sum(sum);
}

/// Units are (row, output) pairs, so that a single row keeps every thread busy.
inline void row_dots(const RowDotsArgs& args, const Worker& worker) {
  const std::int64_t outputs = args.out.columns;
  const std::int64_t inputs = args.x.columns;
  const Share mine = share_of(args.x.rows * outputs, worker);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    const std::int64_t row = unit / outputs;
    const std::int64_t o = unit % outputs;
    const float sum =
        lane_dot(args.x.data + row * args.x.stride, args.weights + o * inputs, inputs);
    args.out.data[row * args.out.stride + o] = args.bias == nullptr ? sum : sum + args.bias[o];
  }
}

/// The rows of expert `e` among the packed rows, as packed rows by themselves.
template <class Steps>
PackedRows rows_of_expert(const PackedRows& rows, const ExpertView& expert) {
  const std::int64_t row_bytes = 4 * units_of<Steps>(rows.inputs);
  return {rows.data + expert.first * row_bytes, expert.count, rows.inputs};
}
/// The same of a product's inputs, which may be codes.
template <class Steps>
PackedRows inputs_of_expert(const PackedRows& rows, const ExpertView& expert,
                            const ChainView& chains) {
  if constexpr (Steps::kCoded) {
    const std::int64_t row_bytes =
        coded_row_bytes(rows.inputs, chain_block(chains, rows.inputs), chains.group, Steps::kStep);
    return {rows.data + expert.first * row_bytes, expert.count, rows.inputs};
  } else {
    return rows_of_expert<Steps>(rows, expert);
  }
}

template <class Steps>
void gather_pack(const GatherArgs& args, const Worker& worker) {
  for (std::int64_t e = 0; e < args.expert_count; ++e) {
    const ExpertView& expert = args.experts[e];
    const PackedRows out = rows_of_expert<Steps>(args.out, expert);
    const Share mine = share_of(expert.count, worker);
    for (std::int64_t i = mine.first; i < mine.end; ++i) {
      const float* x = args.x.data + args.rows[expert.first + i] * args.x.stride;
      write_row(packed_row<Steps>(out, i), 0, x, args.x.columns);
    }
  }
}

GRIDMILL_SIMD F32x16 clamped_gate(F32x16 g, F32x16 u, float limit) {
  const F32x16 most = splat(limit);
  const F32x16 least = splat(-limit);
  g = select(less(most, g), most, g);
  u = select(less(most, u), most, u);
  u = select(less(u, least), least, u);
  return (u + splat(1.0F)) * (g * sigmoid(splat(1.702F) * g));
}

/// Gate and up sums of one panel to packed rows.
template <class Steps>
void gate_epilogue(const ExpertsArgs& args, const ExpertView& expert, const RowChunk& chunk,
                   std::int64_t panel, const float* sums, const float* up_sums,
                   const PackedRows& out) {
  const std::int64_t width = args.outputs;
  const std::int64_t first = panel * kPanelOutputs;
  const std::int64_t columns = smaller<std::int64_t>(kPanelOutputs, width - first);
  alignas(64) float values[kPanelOutputs];
  for (std::int64_t r = 0; r < chunk.rows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      const int count = static_cast<int>(smaller<std::int64_t>(16, columns - 16 * v));
      if (count <= 0) break;
      const std::int64_t column = first + 16 * v;
      const std::int64_t at = r * kPanelOutputs + 16 * v;
      const F32x16 g = with_bias(load(sums + at), expert.bias, column, count);
      const F32x16 u = with_bias(load(up_sums + at), expert.bias, width + column, count);
      store(values + 16 * v, args.gate.limit == 0.0F ? activate(args.gate.activation, g) * u
                                                     : clamped_gate(g, u, args.gate.limit));
    }
    write_row(packed_row<typename Steps::Packed>(out, chunk.first + r), first, values, columns);
  }
}

/// Units are the panels of all experts, one expert behind the other.
template <class Steps>
void experts_gated(const ExpertsArgs& args, const Worker& worker) {
  const std::int64_t panels = (args.outputs + kPanelOutputs - 1) / kPanelOutputs;
  const Share mine = share_of(args.expert_count * panels, worker);
  const ChainView whole{1, 0, args.group};
  const std::int64_t pass = rows_a_pass<Steps>(args.x.inputs);
  auto* sums = reinterpret_cast<float*>(worker.scratch);
  for (std::int64_t unit = mine.first; unit < mine.end; ++unit) {
    const ExpertView& expert = args.experts[unit / panels];
    const std::int64_t panel = unit % panels;
    const PackedRows x = inputs_of_expert<Steps>(args.x, expert, whole);
    const PackedRows out = rows_of_expert<typename Steps::Packed>(args.packed_out, expert);
    for (std::int64_t row = 0; row < x.rows; row += pass) {
      const RowChunk chunk{row, smaller(pass, x.rows - row)};
      float* second = sums + chunk.rows * kPanelOutputs;
      panel_product<Steps>(x, chunk, panel_at(expert.weights, 2 * panel), whole, sums);
      panel_product<Steps>(x, chunk, panel_at(expert.weights, 2 * panel + 1), whole, second);
      gate_epilogue<Steps>(args, expert, chunk, panel, sums, second, out);
    }
  }
}

/// Adds the sums of one chain of one panel, weighted, to the block's rows.
inline void weighted_epilogue(const ExpertsArgs& args, const ExpertView& expert,
                              const RowChunk& chunk, std::int64_t panel, bool biased,
                              const float* sums, float* block) {
  const std::int64_t first = panel * kPanelOutputs;
  const ConstDeviceVector none{};
  for (std::int64_t r = 0; r < chunk.rows; ++r) {
    const std::int64_t pair = expert.first + chunk.first + r;
    const F32x16 weight = splat(args.weights[pair]);
    float* out = block + args.rows[pair] * args.outputs;
    for (int v = 0; v < kVectors; ++v) {
      const std::int64_t column = first + 16 * v;
      const int count = static_cast<int>(smaller<std::int64_t>(16, args.outputs - column));
      if (count <= 0) break;
      const F32x16 y = with_bias(load(sums + r * kPanelOutputs + 16 * v),
                                 biased ? expert.bias : none, column, count);
      store_first(out + column, fma(weight, y, load_first(out + column, count)), count);
    }
  }
}

/// Zeroes the columns of a worker's panels in every block.
inline void clear_columns(const ExpertsArgs& args, const Share& panels) {
  const std::int64_t first = smaller(args.outputs, panels.first * kPanelOutputs);
  const std::int64_t end = smaller(args.outputs, panels.end * kPanelOutputs);
  for (std::int64_t row = 0; row < args.block_rows * args.block_count; ++row) {
    float* out = args.blocks + row * args.outputs;
    for (std::int64_t column = first; column < end; ++column) out[column] = 0.0F;
  }
}

/// A worker has its panels of every expert, so that experts add up in their order.
template <class Steps>
void experts_down(const ExpertsArgs& args, const Worker& worker) {
  const std::int64_t panels = (args.outputs + kPanelOutputs - 1) / kPanelOutputs;
  const Share mine = share_of(panels, worker);
  if (args.start == ExpertSums::Start::zero) clear_columns(args, mine);
  const std::int64_t pass = rows_a_pass<Steps>(args.x.inputs);
  auto* sums = reinterpret_cast<float*>(worker.scratch);
  for (std::int64_t e = 0; e < args.expert_count; ++e) {
    const ExpertView& expert = args.experts[e];
    const ChainView chains{static_cast<int>(args.block_count), expert.block_inputs, args.group};
    const PackedRows x = inputs_of_expert<Steps>(args.x, expert, chains);
    for (std::int64_t row = 0; row < x.rows; row += pass) {
      const RowChunk chunk{row, smaller(pass, x.rows - row)};
      for (std::int64_t panel = mine.first; panel < mine.end; ++panel) {
        const std::byte* weights = panel_at(expert.weights, panel);
        for (std::int64_t b = 0; b < args.block_count; ++b) {
          block_product<Steps>(x, chunk, weights, chains, b, sums, 0);
          weighted_epilogue(args, expert, chunk, panel, expert.holds_first_block && b == 0, sums,
                            args.blocks + b * args.block_rows * args.outputs);
        }
      }
    }
  }
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
