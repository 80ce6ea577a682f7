#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "kernels/cuda/rows.hpp"
#include "kernels/cuda/runtime.hpp"

// Routers and what lies around the experts' products. Shapes have been checked.
namespace gridmill::cuda {

struct DotsArgs {
  ConstDeviceMatrix x;
  ConstDeviceVector weights;  ///< [outputs][inputs]
  ConstDeviceVector bias;
  DeviceMatrix out;
  bool operator==(const DotsArgs& other) const = default;
};
/// A warp an output of a row: lane l sums inputs l, l + 32, ...; lanes join as warp_sum.
void launch_row_dots(LaunchStream stream, const DotsArgs& args);

struct GatherArgs {
  ConstDeviceMatrix x;
  const std::int64_t* rows = nullptr;  ///< on the device, one a packed row; -1 = leave it
  PackedRows out;
  bool operator==(const GatherArgs& other) const = default;
};
void launch_gather(LaunchStream stream, DType compute_dtype, const GatherArgs& args);

struct ClearArgs {
  DeviceMatrix out;
  bool operator==(const ClearArgs& other) const = default;
};
/// out = 0
void launch_clear(LaunchStream stream, const ClearArgs& args);

}  // namespace gridmill::cuda
