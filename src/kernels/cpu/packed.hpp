// Packed inputs: blocks of 8 rows (the last block has as many as are left), and inside a block
//   bf16: [k / 2][rows of the block][2]      fp32: [k][rows of the block]
// so that a product's inner loop reads one linear stream. An odd last input is paired with 0.
#pragma once

#include "kernels/cpu/kernel_table.hpp"
#include "kernels/cpu/simd.hpp"

namespace gridmill::cpu::GRIDMILL_CPU_TARGET {

template <typename T>
GRIDMILL_SIMD T smaller(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
GRIDMILL_SIMD T larger(T a, T b) {
  return a < b ? b : a;
}

/// Fetches a line into caches from level L on.
template <int L>
GRIDMILL_SIMD void prefetch(const std::byte* line) {
  // Locality 3 is prefetcht0 (all levels), 2 is prefetcht1 (from L2 on).
  __builtin_prefetch(line, 0, L == 1 ? 3 : 2);
}

/// Things [first, end) of `count` that fall to one of the workers.
struct Share {
  std::int64_t first, end;
};
GRIDMILL_SIMD Share share_of(std::int64_t count, const Worker& worker) {
  return {count * worker.index / worker.count, count * (worker.index + 1) / worker.count};
}

template <class Steps>
GRIDMILL_SIMD std::int64_t units_of(std::int64_t inputs) {
  return (inputs + Steps::kInputs - 1) / Steps::kInputs;
}

/// First unit of a row; the row's next unit is `height` further.
template <class Steps>
struct PackedRow {
  typename Steps::Unit* data;
  std::int64_t height;
  std::int64_t inputs;
};
template <class Steps>
GRIDMILL_SIMD PackedRow<Steps> packed_row(const PackedRows& rows, std::int64_t row) {
  const std::int64_t first = row / kBlockRows * kBlockRows;
  const std::int64_t height = smaller<std::int64_t>(kBlockRows, rows.rows - first);
  auto* units = reinterpret_cast<typename Steps::Unit*>(rows.data);
  return {units + first * units_of<Steps>(rows.inputs) + (row - first), height, rows.inputs};
}

/// Rounds values[0 .. n) to the compute dtype and puts them at columns first_k ... of a row.
inline void write_row(const PackedRow<Fp32Steps>& row, std::int64_t first_k, const float* values,
                      std::int64_t n) {
  float* to = row.data + first_k * row.height;
  for (std::int64_t i = 0; i < n; ++i) to[i * row.height] = values[i];
}
inline void write_row(const PackedRow<Bf16Steps>& row, std::int64_t first_k, const float* values,
                      std::int64_t n) {
  alignas(64) std::uint16_t halves[16];
  auto* to = reinterpret_cast<std::uint16_t*>(row.data);
  const std::int64_t height = row.height;
  std::int64_t i = 0;
  if (first_k % 2 == 0) {
    for (; i + 16 <= n; i += 16) {
      store_low_halves(halves, bf16_bits(load(values + i)));
      const auto* pairs = reinterpret_cast<const std::uint32_t*>(halves);
      std::uint32_t* unit = row.data + (first_k + i) / 2 * height;
      for (int p = 0; p < 8; ++p) unit[p * height] = pairs[p];
    }
  }
  while (i < n) {
    const int count = static_cast<int>(smaller<std::int64_t>(16, n - i));
    store_low_halves(halves, bf16_bits(load_first(values + i, count)));
    for (int lane = 0; lane < count; ++lane) {
      const std::int64_t k = first_k + i + lane;
      to[k / 2 * height * 2 + k % 2] = halves[lane];
    }
    i += count;
  }
  const std::int64_t end = first_k + n;
  if (end == row.inputs && end % 2 != 0) to[end / 2 * height * 2 + 1] = 0;
}

/// Panel `panel` of a weight; nullptr if it is not held.
GRIDMILL_SIMD const std::byte* panel_at(const PanelView& weights, std::int64_t panel) {
  for (std::int64_t i = 0; i < weights.run_count; ++i) {
    const PanelRun& run = weights.runs[i];
    if (panel >= run.first_panel && panel < run.first_panel + run.panels) {
      return run.data + static_cast<std::size_t>(panel - run.first_panel) * weights.panel_bytes;
    }
  }
  return nullptr;
}

}  // namespace gridmill::cpu::GRIDMILL_CPU_TARGET
