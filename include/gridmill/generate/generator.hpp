#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/tensor.hpp"
#include "gridmill/generate/request.hpp"
#include "gridmill/model/model.hpp"
#include "gridmill/params/parameter_source.hpp"

namespace gridmill {

namespace generate_detail {
struct PageDemand;
struct PrefixKind;
struct Sequence;
class PrefixStore;
}  // namespace generate_detail

/// Common starts of rows are computed once.
struct PrefixSharing {
  bool enabled = false;
  /// Common starts of prompts that are kept for rows to come; each has a slot of its own.
  int kept = 0;
  /// Positions of all of them together in the KV cache; 0 = no limit but the pool's.
  std::int64_t kept_positions = 0;
};

struct GeneratorOptions {
  int slots = 1;                ///< rows in flight
  std::int64_t max_length = 0;  ///< longest row a slot can hold
  /// Positions of all slots together where the KV cache is one pool; 0 = each slot has its own
  /// `max_length`. Rows take pages of it as they grow. At least one row of `max_length` has to fit.
  /// Without effect for a recurrent model.
  std::int64_t pool_positions = 0;
  std::int64_t pass_rows = 512;  ///< tokens fed in one pass, if the decode rows leave room
  PrefixSharing sharing{};
};

struct GeneratorStatistics {
  std::int64_t passes = 0;          ///< with at least one token
  std::int64_t empty_passes = 0;    ///< passes without own tokens, for other ranks
  std::int64_t mixed_passes = 0;    ///< with prompt tokens and decode rows
  std::int64_t refills = 0;         ///< rows admitted to a slot that had held another one
  std::int64_t preempted_rows = 0;  ///< preemptions from a full pool
  std::int64_t prompt_tokens = 0;   ///< fed for the first time, replayed ones included
  std::int64_t refed_tokens = 0;    ///< fed again after a preemption
  std::int64_t shared_tokens = 0;   ///< of prompts, not fed: another row had computed them
  std::int64_t new_tokens = 0;      ///< generated
  std::int64_t completed_rows = 0;
  std::int64_t failed_rows = 0;
};

/// Continuous batching: rows come and go slot by slot. One pass mixes prompts (cut in pieces if
/// long) and decode rows; a row's tokens depend on none of this (docs/numerics.md).
///
/// Where all slots share a pool of positions, a row is admitted when there is room for its prompt
/// and one page to grow into. When a pass needs more pages than there are, the youngest rows are
/// preempted and wait; before any new row, their tokens are fed again (preemption by recomputation;
/// vLLM, Kwon et al. 2023, section 4.5). The oldest row is never preempted, so progress is
/// guaranteed. Decisions depend on lengths only, which are equal on all ranks of a tp group.
///
/// With PrefixSharing a row that begins like another one does not feed these tokens: it waits until
/// the older one has consumed them, and its state is forked from there. Common starts are kept for
/// rows that come later, in what rows in flight leave of the pool. Tokens and lengths alone decide.
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

  /// Rows that should be admitted now: as many as there are free slots and, if their prompts are
  /// like those of the rows in flight, room in the pool; 0 while a row waits for room. At least 1
  /// without a row in flight.
  [[nodiscard]] int free_slots() const;
  /// Takes `request` into a free slot; false, and nothing else, without one. Where the pool has no
  /// room for it yet, it waits there.
  /// @throws UsageError for an empty prompt, ids outside the vocabulary, or a row longer than its
  /// own max_length or the slots'.
  [[nodiscard]] bool admit(Request request);
  /// Runs exactly one pass of the model, also without rows: where layers are gathered over an fsdp
  /// group, ranks pass in lock step, and the caller goes on while Exchange::any(!idle()).
  /// Collective as Model::forward.
  /// @return rows that ended in this pass; their slots are free.
  [[nodiscard]] std::vector<Completion> step();
  /// Logits of the last step() for rows that request them, also for rows that ended in
  /// it; for each row in ascending positions. A preempted row begins again.
  /// Valid until the next step().
  [[nodiscard]] std::span<const RowLogits> logits() const { return row_logits_; }
  /// No row in flight.
  [[nodiscard]] bool idle() const;
  [[nodiscard]] std::size_t rows_in_flight() const { return arrival_.size(); }
  [[nodiscard]] std::vector<InFlightRow> in_flight() const;
  [[nodiscard]] const GeneratorStatistics& statistics() const { return statistics_; }
  /// Forgets the common starts that are kept. Without a row in flight no page is held then.
  void forget_prefixes();
  /// Pages of KV caches that rows in flight and kept prefixes hold.
  [[nodiscard]] std::int64_t pages_in_use() const;

 private:
  [[nodiscard]] generate_detail::Sequence& sequence(SlotId slot) const;
  /// Demands of all rows, oldest first.
  [[nodiscard]] std::vector<generate_detail::PageDemand> demands() const;
  /// Decides which rows have pages in the next pass.
  void share_pool();
  /// Decides which rows fork the state of another one, and which wait for it (share_prefixes.cpp).
  void share_prefixes();
  /// Keeps the state of a row where it stands, if that is asked for.
  void keep_prefixes(SlotId slot);
  /// Begins the `index`-th oldest row, which has pages and no fed tokens: forks, waits, or neither.
  void begin_row(std::size_t index);
  /// Positions at which a row that begins is to be kept.
  void plan_keeping(std::size_t index);
  [[nodiscard]] generate_detail::PrefixKind kind_of(const generate_detail::Sequence& row) const;
  /// Pages of the pool that no row in flight needs in the next pass.
  [[nodiscard]] std::int64_t spare_pages() const;
  void plan_pass();
  /// Adds the selection of `row`'s token at `next` to the pass.
  void select(const generate_detail::Sequence& row, std::int64_t next);
  /// Cuts the logits of a pass into those of its rows.
  void share_logits();
  void take_choices(std::vector<Completion>& completions);
  void finish(SlotId slot, FinishReason reason, const std::string& failure,
              std::vector<Completion>& completions);

  const Model& model_;
  ExecutionContext& context_;
  ParameterSource& parameters_;
  GeneratorOptions options_;
  std::unique_ptr<BatchState> state_;
  std::vector<std::unique_ptr<generate_detail::Sequence>> slots_;  ///< null = free
  std::vector<bool> used_;                                         ///< slots that have held a row
  std::int64_t pool_pages_ = 0;  ///< 0 = every slot has room of its own
  std::vector<SlotId> arrival_;  ///< slots with a row, oldest first
  std::size_t live_ = 0;         ///< of these, the first ones have pages; the others wait
  std::unique_ptr<generate_detail::PrefixStore> store_;
  std::deque<std::vector<TokenId>> recent_prompts_;  ///< of rows that have ended
  std::vector<RowSpan> spans_;                       ///< of the pass at hand
  std::vector<SelectRow> rows_;
  std::vector<Choice> choices_;
  Tensor<float, 2> pass_logits_;  ///< of all wanted rows of the pass, if some row requests them
  std::vector<RowLogits> row_logits_;
  GeneratorStatistics statistics_;
};

}  // namespace gridmill
