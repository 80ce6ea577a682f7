#pragma once

#include <cstddef>
#include <cstdint>

#include "gridmill/base/dtype.hpp"
#include "gridmill/params/weight.hpp"

namespace gridmill::cuda {

/// Outputs of a panel: the 16 side of mma.m16n8k16.
inline constexpr int kPanelOutputs = 16;
/// Inputs of a panel's rows and of packed rows are padded with zeros to a multiple of this, so that
/// a lane may load 16 bytes of bf16 at a time.
inline constexpr int kInputPad = 8;

/// Elements from one row to the next, of a panel and of packed rows alike. Panels are plain rows,
/// 16 of them: consecutive panels are a row-major matrix.
[[nodiscard]] constexpr std::int64_t padded_inputs(std::int64_t inputs) {
  return (inputs + kInputPad - 1) / kInputPad * kInputPad;
}

/// A Weight as kernels take it: by value.
struct PanelTable {
  static constexpr int kMostRuns = 64;
  struct Run {
    std::int64_t first_panel;
    std::int64_t panels;
    const std::byte* data;
    bool operator==(const Run& other) const = default;
  };
  Run runs[kMostRuns];  // NOLINT(modernize-avoid-c-arrays): read by device code
  int count;
  std::int64_t panel_bytes;
  bool operator==(const PanelTable& other) const = default;
};

/// Empty runs are left out. @throws ResourceError if there are more than a kernel takes.
[[nodiscard]] PanelTable panel_table(const Weight& weight);

}  // namespace gridmill::cuda
