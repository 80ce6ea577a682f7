#include <algorithm>
#include <cmath>

#include "gridmill/base/check.hpp"
#include "kernels/expert_checks.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace gridmill::reference {

namespace {

/// h of one gate and up (docs/numerics.md, section "Experts").
float gated(const ExpertGate& gate, float g, float u) {
  if (gate.limit == 0.0F) return activate_f32(gate.activation, g) * u;
  constexpr float kSlope = 1.702F;
  g = gate.limit < g ? gate.limit : g;
  u = gate.limit < u ? gate.limit : u;
  u = u < -gate.limit ? -gate.limit : u;
  return (u + 1.0F) * (g * sigmoid_f32(kSlope * g));
}

}  // namespace

void ReferenceBackend::row_dots(Stream& /*stream*/, ConstDeviceMatrix x, ConstDeviceVector weights,
                                ConstDeviceVector bias, DeviceMatrix out) {
  GRIDMILL_ASSERT(weights.size == out.columns * x.columns && out.rows == x.rows,
                  "weights are [outputs, inputs]");
  GRIDMILL_ASSERT(bias.empty() || bias.size == out.columns, "wrong size of the bias");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    for (std::int64_t o = 0; o < out.columns; ++o) {
      Lanes lanes{};
      fma_loops().lanes_of_products(x.data + row * x.stride, weights.data + o * x.columns,
                                    x.columns, lanes);
      const float sum = lane_tree_sum(lanes);
      out.data[row * out.stride + o] = bias.empty() ? sum : sum + bias.data[o];
    }
  }
}

void ReferenceBackend::gather_pack(Stream& /*stream*/, ConstDeviceMatrix x,
                                   std::span<const ExpertRows> experts,
                                   std::span<const std::int64_t> rows, PackedRows out) {
  GRIDMILL_ASSERT(out.inputs == x.columns, "wrong width of the result");
  kernels_detail::check_expert_rows(experts, out.rows);
  kernels_detail::check_row_list(experts, rows, out.rows, x.rows);
  const FloatModeScope mode(dtype_);
  for (const ExpertRows& expert : experts) {
    for (std::int64_t i = expert.first; i < expert.first + expert.count; ++i) {
      const std::int64_t row = rows[static_cast<std::size_t>(i)];
      write_packed(out, i, 0, x.data + row * x.stride, x.columns, dtype_);
    }
  }
}

void ReferenceBackend::experts_gated(Stream& /*stream*/, const PackedRows& x,
                                     std::span<const ExpertRows> experts, const ExpertGate& gate,
                                     PackedRows out) {
  kernels_detail::check_experts_gated(x, experts, out);
  const FloatModeScope mode(dtype_);
  const std::int64_t width = out.inputs;
  for (const ExpertRows& expert : experts) {
    check_product(x, *expert.weight, Fuse::interleave, dtype_);
    for (std::int64_t i = expert.first; i < expert.first + expert.count; ++i) {
      const float* inputs = packed_row(x, i, dtype_);
      for (std::int64_t first = 0; first < width; first += kPanelOutputs) {
        const std::int64_t pair = first / kPanelOutputs;
        Lanes g = panel_product(expert.weight->shape, inputs, panel_of(*expert.weight, 2 * pair), 0,
                                x.inputs, dtype_);
        const Lanes u = panel_product(expert.weight->shape, inputs,
                                      panel_of(*expert.weight, 2 * pair + 1), 0, x.inputs, dtype_);
        const std::int64_t count = std::min(kPanelOutputs, width - first);
        for (std::int64_t l = 0; l < count; ++l) {
          const auto lane = static_cast<std::size_t>(l);
          const bool biased = !expert.bias.empty();
          const float g_l = biased ? g[lane] + expert.bias.data[first + l] : g[lane];
          const float u_l = biased ? u[lane] + expert.bias.data[width + first + l] : u[lane];
          g[lane] = gated(gate, g_l, u_l);
        }
        write_packed(out, i, first, g.data(), count, dtype_);
      }
    }
  }
}

void ReferenceBackend::experts_down(Stream& /*stream*/, const PackedRows& x,
                                    std::span<const ExpertRows> experts,
                                    std::span<const std::int64_t> rows,
                                    std::span<const float> weights, const ExpertSums& sums,
                                    DeviceMatrix blocks) {
  const std::int64_t block_rows =
      kernels_detail::check_experts_down(x, experts, rows, weights, sums.tp_size, blocks);
  const FloatModeScope mode(dtype_);
  if (sums.start == ExpertSums::Start::zero) {
    std::fill_n(blocks.data, blocks.rows * blocks.columns, 0.0F);
  }
  for (const ExpertRows& expert : experts) {
    const Weight& w = *expert.weight;
    check_product(x, w, Fuse::concatenate, dtype_);
    const std::int64_t block = reduction_block_inputs(w.shape.whole_inputs);
    for (std::int64_t i = expert.first; i < expert.first + expert.count; ++i) {
      const float* inputs = packed_row(x, i, dtype_);
      const float weight = weights[static_cast<std::size_t>(i)];
      for (int b = 0; b < kReductionBlocks / sums.tp_size; ++b) {
        const std::int64_t from = std::min(w.shape.inputs, block * b);
        const std::int64_t end = std::min(w.shape.inputs, block * (b + 1));
        float* out =
            blocks.data + (b * block_rows + rows[static_cast<std::size_t>(i)]) * blocks.columns;
        const bool biased = !expert.bias.empty() && b == 0 && w.shape.first_input == 0;
        for (std::int64_t o = 0; o < w.shape.outputs; o += kPanelOutputs) {
          const Lanes chains = from < end
                                   ? panel_product(w.shape, inputs, panel_of(w, o / kPanelOutputs),
                                                   from, end - from, dtype_)
                                   : Lanes{};
          const std::int64_t count = std::min(kPanelOutputs, w.shape.outputs - o);
          for (std::int64_t l = 0; l < count; ++l) {
            float sum = chains[static_cast<std::size_t>(l)];
            if (biased) sum += expert.bias.data[o + l];
            out[o + l] = std::fma(weight, sum, out[o + l]);
          }
        }
      }
    }
  }
}

}  // namespace gridmill::reference
