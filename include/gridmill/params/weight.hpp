#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// Consecutive panels in one piece of memory (an fsdp shard, or everything).
struct PanelRun {
  std::int64_t first_panel = 0;
  std::int64_t panels = 0;
  const std::byte* data = nullptr;
};

/// A prepared matrix in a backend's memory; does not own it. `runs` are ascending and together hold
/// every panel, except in the shard of an embedding table. For MatrixLayout::rows a panel is one
/// row.
struct Weight {
  MatrixShape shape;
  Fuse fuse = Fuse::concatenate;
  MatrixLayout layout = MatrixLayout::panels;
  std::size_t panel_bytes = 0;
  std::vector<PanelRun> runs;

  /// Panel `panel`; nullptr if it is not held.
  [[nodiscard]] const std::byte* panel(std::int64_t panel) const {
    for (const PanelRun& run : runs) {
      if (panel >= run.first_panel && panel < run.first_panel + run.panels) {
        return run.data + static_cast<std::size_t>(panel - run.first_panel) * panel_bytes;
      }
    }
    return nullptr;
  }
};

/// The parameters of one unit, ready for kernels; same order as in its UnitSpec.
struct UnitWeights {
  std::vector<Weight> matrices;
  std::vector<ConstDeviceVector> vectors;
};

}  // namespace gridmill
