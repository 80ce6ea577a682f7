#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// How the ranks of an fsdp group keep the parameters of their tp slice in host memory.
struct ParameterSharing {
  int fsdp = 1;
  bool gather_once = false;                   ///< ParameterOptions::gather_once
  std::int64_t fsdp_min_weight_size = 16384;  ///< ParameterOptions::fsdp_min_weight_size
  /// One copy a node; otherwise a shard a rank, and units are gathered in every pass.
  [[nodiscard]] bool whole() const { return gather_once || fsdp == 1; }
};

/// Memory of one rank as the loader lays it out, without loading.
struct ParameterFootprint {
  std::uint64_t private_bytes = 0;  ///< the shard, and two buffers for gathered units
  std::uint64_t shared_bytes = 0;   ///< one copy for all ranks of a node with this tp slice
  /// Bytes that come from the other ranks of the fsdp group in each pass.
  std::uint64_t gathered_bytes_a_pass = 0;
};
/// @param parameters  of this tp rank, with_stored_formats().
/// @param shard       of this rank in its fsdp group.
[[nodiscard]] ParameterFootprint parameter_footprint(const ModelParameters& parameters,
                                                     const Backend& backend,
                                                     const ParameterSharing& sharing, int shard);

/// What loading moves, summed over the ranks that have one tp slice.
struct ParameterTraffic {
  std::uint64_t bytes_read = 0;      ///< from the checkpoint
  std::uint64_t bytes_received = 0;  ///< from ranks of other nodes
};
/// @param stored  the checkpoint's parameters.
/// @param nodes   node of each rank that has the tp slice, in the order of the ranks: fsdp fastest.
[[nodiscard]] ParameterTraffic parameter_traffic(const ModelParameters& parameters,
                                                 std::span<const StoredParameter> stored,
                                                 const Backend& backend,
                                                 const ParameterSharing& sharing,
                                                 std::span<const int> nodes);

}  // namespace gridmill
