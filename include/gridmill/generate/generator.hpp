#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/generate/request.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill {

struct GeneratorOptions {
  int slots = 1;                ///< rows in flight
  std::int64_t max_length = 0;  ///< longest row a slot can hold
  /// Positions of all slots together where the KV cache is one pool; 0 = each slot has its own
  /// `max_length`. Every row sets aside what it may grow to, so that none is ever stuck.
  std::int64_t pool_positions = 0;
  std::int64_t pass_rows = 512;  ///< tokens fed in one pass, if the decode rows leave room
};

struct GeneratorStatistics {
  std::int64_t passes = 0;         ///< with at least one token
  std::int64_t empty_passes = 0;   ///< taken part in for the sake of other ranks
  std::int64_t mixed_passes = 0;   ///< with prompt tokens and decode rows
  std::int64_t refills = 0;        ///< rows admitted to a slot that had held another one
  std::int64_t prompt_tokens = 0;  ///< fed, replayed ones included
  std::int64_t new_tokens = 0;     ///< generated
  std::int64_t completed_rows = 0;
  std::int64_t failed_rows = 0;
};

/// Continuous batching: rows come and go slot by slot. One pass mixes prompts (cut in pieces if
/// long) and decode rows; a row's tokens depend on none of this (docs/numerics.md).
///
/// Every rank of a tp group drives its own Generator with the same calls. References must outlive
/// it.
class Generator {
 public:
  /// Allocates the state of all slots. @throws ResourceError
  Generator(const Model& model, ExecutionContext& context, ParameterSource& parameters,
            const GeneratorOptions& options);
  ~Generator();
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

  /// Rows that can be admitted now, however long they may grow.
  [[nodiscard]] int free_slots() const;
  /// Takes `request` into a free slot; false, and nothing else, without one or without room for
  /// what the row may grow to.
  /// @throws UsageError for an empty prompt, ids outside the vocabulary, or a row longer than its
  /// own max_length or the slots'.
  [[nodiscard]] bool admit(Request request);
  /// Runs exactly one pass of the model, also without rows: where layers are gathered over an fsdp
  /// group, ranks pass in lock step, and the caller goes on while Exchange::any(!idle()).
  /// Collective as Model::forward.
  /// @return rows that ended in this pass; their slots are free.
  [[nodiscard]] std::vector<Completion> step();
  /// No row in flight.
  [[nodiscard]] bool idle() const;
  [[nodiscard]] std::vector<InFlightRow> in_flight() const;
  [[nodiscard]] const GeneratorStatistics& statistics() const { return statistics_; }

 private:
  struct Sequence;

  /// Positions that a row takes of the pool, whole pages.
  [[nodiscard]] std::int64_t pool_share(std::int64_t length) const;
  void plan_pass();
  void take_choices(std::vector<Completion>& completions);
  void finish(SlotId slot, FinishReason reason, const std::string& failure,
              std::vector<Completion>& completions);

  const Model& model_;
  ExecutionContext& context_;
  ParameterSource& parameters_;
  GeneratorOptions options_;
  std::unique_ptr<BatchState> state_;
  std::vector<std::unique_ptr<Sequence>> slots_;  ///< null = free
  std::vector<bool> used_;                        ///< slots that have held a row
  std::int64_t pool_free_ = 0;                    ///< positions that no row has set aside
  std::vector<SlotId> arrival_;                   ///< live slots, oldest first
  std::vector<RowSpan> spans_;                    ///< of the pass at hand
  std::vector<SelectRow> rows_;
  std::vector<Choice> choices_;
  GeneratorStatistics statistics_;
};

}  // namespace gridmill
