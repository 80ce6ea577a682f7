#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/panels.hpp"
#include "kernels/cuda/runtime.hpp"

// Operations on rows, one thread block a row (or a piece of one). Shapes have been checked.
namespace gridmill::cuda {

struct PackArgs {
  ConstDeviceMatrix x;
  std::int64_t first_column = 0;  ///< of x in the packed row
  bool last = false;              ///< zero the padding behind
  PackedRows out;
  bool operator==(const PackArgs& other) const = default;
};
void launch_pack(LaunchStream stream, DType compute_dtype, const PackArgs& args);

struct NormArgs {
  ConstDeviceMatrix x;
  Norm norm;
  const std::int64_t* rows = nullptr;  ///< on the device; nullptr = all
  PackedRows packed;                   ///< norm_pack: packed = norm(x[rows])
  DeviceMatrix added;                  ///< norm_add: added = added + norm(x); norm_rows: the result
  bool operator==(const NormArgs& other) const = default;
};
void launch_norm_pack(LaunchStream stream, DType compute_dtype, const NormArgs& args);
void launch_norm_add(LaunchStream stream, const NormArgs& args);
void launch_norm_rows(LaunchStream stream, const NormArgs& args);

struct ScaleAddArgs {
  float x_scale = 1;
  ConstDeviceMatrix y;
  float y_scale = 1;
  DeviceMatrix x;
  bool operator==(const ScaleAddArgs& other) const = default;
};
void launch_scale_add(LaunchStream stream, const ScaleAddArgs& args);

struct EmbedArgs {
  PanelTable table;
  std::int64_t panel_rows = 1;  ///< rows of a panel
  std::int64_t row_stride = 0;  ///< elements between the rows of a panel
  std::int64_t table_rows = 0;
  std::int64_t first_id = 0;
  const TokenId* ids = nullptr;  ///< on the device
  DeviceMatrix out;
  bool operator==(const EmbedArgs& other) const = default;
};
void launch_embed(LaunchStream stream, DType compute_dtype, const EmbedArgs& args);

struct JoinArgs {
  const float* parts = nullptr;
  int tp_size = 1;
  ConstDeviceVector bias;
  bool accumulate = false;
  DeviceMatrix out;
  bool operator==(const JoinArgs& other) const = default;
};
void launch_join(LaunchStream stream, const JoinArgs& args);

struct AffineArgs {
  ConstDeviceMatrix x;
  ConstDeviceVector weight;
  ConstDeviceVector bias;
  Activation activation = Activation::identity;
  DeviceMatrix out;
  bool operator==(const AffineArgs& other) const = default;
};
void launch_channel_affine(LaunchStream stream, const AffineArgs& args);

struct DiagonalArgs {
  ConstDeviceMatrix x;
  ConstDeviceVector blocks;
  std::int64_t groups = 1;
  DeviceMatrix out;
  bool operator==(const DiagonalArgs& other) const = default;
};
void launch_block_diagonal(LaunchStream stream, const DiagonalArgs& args);

struct SkipGateArgs {
  ConstDeviceMatrix h;
  ConstDeviceVector skip;
  ConstDeviceMatrix a;
  ConstDeviceMatrix z;
  Activation activation = Activation::identity;
  PackedRows out;
  bool operator==(const SkipGateArgs& other) const = default;
};
void launch_skip_gate(LaunchStream stream, DType compute_dtype, const SkipGateArgs& args);

}  // namespace gridmill::cuda
