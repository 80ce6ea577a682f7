#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/embedding_lookup_detail.hpp"
#include "checkpoint/unit_gather_detail.hpp"
#include "checkpoint/unit_layout_detail.hpp"
#include "gridmill/checkpoint/parameter_store.hpp"
#include "gridmill/grid/node_memory.hpp"

namespace gridmill::checkpoint_detail {

/// Parameters in a backend's memory.
struct LoadedParameters {
  /// Everything of this tp rank is here; otherwise only one shard of it.
  bool whole = false;
  std::vector<UnitLayout> layouts;
  std::vector<ResidentUnit> resident;  ///< `whole`: block is where all blocks begin
  Buffer memory;
  NodeMemory shared;
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_received = 0;
};

/// Collective over grid.world(). @throws the same on every rank.
[[nodiscard]] LoadedParameters load_parameters(const CheckpointFile& file,
                                               const ModelParameters& parameters, Grid& grid,
                                               Backend& backend, const ParameterOptions& options);

/// The part of the embedding table that is here between passes.
[[nodiscard]] EmbeddingLookup::Table embedding_table(const ModelParameters& parameters,
                                                     const LoadedParameters& loaded,
                                                     const Backend& backend, int own_shard);

}  // namespace gridmill::checkpoint_detail
