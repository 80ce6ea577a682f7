#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/tensor.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill {

struct ScoreOptions {
  bool logits = false;
  std::int64_t pass_rows = 512;  ///< tokens fed in one pass
};

struct ScoredRow {
  /// Entry t: log-probability of token t given those before it; entry 0 is 0.
  std::vector<float> logprobs;
  double sum_logprob = 0;   ///< of `logprobs`, added in ascending order
  Tensor<float, 2> logits;  ///< [T, V], row t = after consuming tokens 0..t; if asked
  bool has_nan = false;     ///< some logit was no number; the rest means nothing
};

/// Teacher forcing: feeds `rows` (at least one token each) and scores every token of them. With
/// logits the rows are fed a second time. Uses the first rows.size() slots of `state`.
/// Collective as Model::forward, and over `lockstep`: the ranks whose parameters are gathered
/// together (NoExchange if that is nobody else) go on until all of them are through.
/// @throws UsageError for an empty row, ids outside the vocabulary, more rows than slots, or a row
/// longer than a slot.
[[nodiscard]] std::vector<ScoredRow> score(const Model& model, ExecutionContext& context,
                                           ParameterSource& parameters, BatchState& state,
                                           Exchange& lockstep,
                                           std::span<const std::vector<TokenId>> rows,
                                           const ScoreOptions& options = {});

}  // namespace gridmill
