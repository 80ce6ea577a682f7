#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "gridmill/kernels/backend.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// Memory of the sequences of a replica on one rank.
struct SequenceNeeds {
  int slots = 0;  ///< as asked for; 0 = as many as fit
  std::int64_t max_length = 1;
  std::size_t bytes_per_slot = 0;  ///< of a sequence of max_length
  bool fixed_size = false;         ///< whatever its length
  std::size_t fixed_bytes = 0;     ///< the part of bytes_per_slot that no length changes
  /// Bytes of a sequence of any length, where they do not grow evenly (layers with windows on the
  /// host); empty: they do.
  std::function<std::size_t(std::int64_t length)> bytes_at{};
  /// For common starts of prompts (PrefixSharing): 0 = none is kept, nullopt = what is left.
  std::optional<std::uint64_t> prefix_memory = 0;
};

/// Sequences in flight, the pool of positions they share, and how they are fed (GeneratorOptions).
struct SlotPlan {
  int slots = 0;
  std::int64_t pool_positions = 0;  ///< 0 = every slot has room of its own
  std::int64_t longest = 0;         ///< positions that a sequence of the longest length takes of it
  std::int64_t pass_rows = 512;     ///< tokens fed in one pass
  int prefixes = 0;                 ///< PrefixSharing::kept
  std::int64_t prefix_positions = 0;  ///< PrefixSharing::kept_positions
  /// Slots that can all reach the longest length.
  [[nodiscard]] int whole_slots() const {
    return pool_positions == 0
               ? slots
               : static_cast<int>(std::min<std::int64_t>(slots, pool_positions / longest));
  }
  friend bool operator==(const SlotPlan&, const SlotPlan&) = default;
};

/// As many slots as are worth having and fit. Where the KV cache is one pool, it takes what states
/// may take (but no more than the slots can use), and slots are not limited by the longest length:
/// rows take pages as they grow. States of fixed size that are kept for common starts take an
/// eighth of the memory at most, unless `prefix_memory` says more.
/// @throws ResourceError if not even one sequence fits, or asked-for ones of fixed size do not. On
/// the host slots that were asked for are taken.
[[nodiscard]] SlotPlan plan_slots(const StateBudget& budget, const SequenceNeeds& needs);

/// Bytes that a pass of `rows` rows takes at most on one of `tp_size` ranks, beside parameters and
/// states: inputs and outputs of every product of a layer, the parts of all ranks where products
/// are shared, and the logits of kLogitRows rows. Units are those of one rank, the head the last.
[[nodiscard]] std::uint64_t workspace_bytes(const ModelParameters& parameters, int tp_size,
                                            std::int64_t rows);

/// Bytes that passes of `rows` rows take on one of `tp_size` ranks of a backend with host memory,
/// of which `logit_rows` go through the head: packed inputs and fp32 outputs of the products of a
/// layer. An estimate; nothing is reserved by it.
/// @param expert_share  of the experts, those that a token goes through.
[[nodiscard]] std::uint64_t host_workspace_bytes(const ModelParameters& parameters,
                                                 const Backend& backend, int tp_size,
                                                 std::int64_t rows, std::int64_t logit_rows,
                                                 double expert_share = 1);

/// Tokens to feed in one pass: as many as are worth it (StateBudget::pass_rows), and fewer, but not
/// less than 64, where a pass with so many and `slots` decoded ones would take more than an eighth
/// of a device's memory that is left.
[[nodiscard]] std::int64_t plan_pass_rows(const StateBudget& budget,
                                          const ModelParameters& parameters, int tp_size,
                                          int slots);

/// Request of a command; 0 = the backend's choice.
struct SlotRequest {
  int slots = 0;
  std::int64_t pass_rows = 0;
  std::int64_t max_length = 1;
  std::optional<std::uint64_t> prefix_memory = 0;  ///< SequenceNeeds::prefix_memory
};
/// One rank of a tensor-parallel group, and those whose node it shares.
struct RankPlace {
  int tp_size = 1;
  int tp_rank = 0;
  int node_ranks = 1;
};
/// Memory of one rank beside its parameters when so many bytes stay free for passes (of meaning on
/// a device only).
using BudgetOf = std::function<StateBudget(std::uint64_t workspace_bytes)>;
/// The plan of one rank with that budget, whichever machine it has it on. @throws as above.
[[nodiscard]] SlotPlan plan_slots(const Backend& backend, const Model& model,
                                  const SlotRequest& request, const RankPlace& place,
                                  const BudgetOf& budget_of);
/// The plan of one rank whose parameters are loaded and whose states are not made yet.
/// @throws ResourceError as above.
[[nodiscard]] SlotPlan plan_slots(const Backend& backend, const Model& model,
                                  const SlotRequest& request, const RankPlace& place = {});

}  // namespace gridmill
