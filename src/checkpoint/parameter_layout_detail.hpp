#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "checkpoint/unit_layout_detail.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill::checkpoint_detail {

/// How a rank keeps the parameters of its tp slice.
enum class Keeping : std::uint8_t {
  node_copy,     ///< whole, in host memory that the node shares
  host_shard,    ///< a shard in host memory; units are gathered when they are used
  device_shard,  ///< the same in a device's memory
  device_whole,  ///< whole, in a device's memory
};

/// One arena holds all units: of each its own block (device_whole: all blocks), then its kept part.
struct Arena {
  std::vector<std::size_t> block_starts;
  std::vector<std::size_t> kept_starts;
  std::size_t bytes = 0;
};

struct ParameterLayout {
  std::vector<UnitLayout> units;
  Arena arena;
};

struct ParameterPlace {
  Keeping keeping = Keeping::node_copy;
  int shards = 1;                 ///< of the fsdp group
  int own = 0;                    ///< this rank's shard
  std::int64_t min_elements = 0;  ///< parameters of at most so many elements are not split
};

/// Where every unit lies on one rank. Pure arithmetic.
[[nodiscard]] ParameterLayout lay_out_parameters(const ModelParameters& parameters,
                                                 const Backend& backend,
                                                 const ParameterPlace& place);

}  // namespace gridmill::checkpoint_detail
