#pragma once

#include <span>
#include <vector>

#include "gridmill/model/model.hpp"
#include "model/layers/workspace.hpp"

namespace gridmill::model_detail {

/// The head of one tp rank.
struct SelectionHead {
  const Weight& weight;
  /// Of its outputs; may be empty.
  ConstDeviceVector bias = {};
  float soft_cap = 0;
  std::int64_t vocab_size = 0;
  /// Ids of this rank.
  IndexRange ids;
};

/// Selects a token for every packed row (docs/numerics.md, section 7). Rows without filters and
/// penalties take one call and one exchange; for the others the logits of kLogitRows rows at a time
/// are kept, and passes of counters over them find what is left to draw from. Finished on return;
/// collective over the tp group.
void select_rows(const SelectionHead& head, ExecutionContext& context, Workspace& workspace,
                 const PackedRows& packed, std::span<const SelectRow> rows,
                 std::vector<Choice>& choices);

}  // namespace gridmill::model_detail
