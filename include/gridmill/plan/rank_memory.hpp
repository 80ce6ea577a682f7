#pragma once

#include <cstdint>

#include "gridmill/checkpoint/parameter_footprint.hpp"
#include "gridmill/generate/pass_simulation.hpp"
#include "gridmill/generate/slot_plan.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// Resident memory of one rank on the host, in bytes.
struct RankMemory {
  std::uint64_t process = 0;             ///< the program, its libraries, buffers of MPI and files
  std::uint64_t private_parameters = 0;  ///< ParameterFootprint::private_bytes
  std::uint64_t shared_parameters = 0;   ///< ParameterFootprint::shared_bytes
  std::uint64_t states = 0;              ///< of the rows in flight
  std::uint64_t workspace = 0;           ///< of passes

  /// What the system shows for the process: memory that it shares counts whole.
  [[nodiscard]] std::uint64_t resident() const { return own() + shared_parameters; }
  /// Without what other ranks of the node use, too.
  [[nodiscard]] std::uint64_t own() const {
    return process + private_parameters + states + workspace;
  }
};

/// A process before it has parameters, states or passes.
[[nodiscard]] std::uint64_t process_bytes();

/// What one rank runs.
struct RankWork {
  const Model& model;
  const ModelParameters& parameters;  ///< of this rank, with_stored_formats()
  const Backend& backend;
  int tp_size = 1;
  double expert_share = 1;  ///< of the experts, those that a token goes through
  PassTotals passes{};      ///< of its replica
};

/// Memory at the peak of a run; for backends with host memory.
[[nodiscard]] RankMemory rank_memory(const RankWork& work, const ParameterFootprint& parameters);

/// Bytes of states of one row that fills `pages` pages on one rank.
[[nodiscard]] std::uint64_t row_state_bytes(const Model& model, const Backend& backend, int tp_size,
                                            std::int64_t pages);

}  // namespace gridmill
