#pragma once

#include <cstdint>
#include <vector>

#include "gridmill/generate/generator.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/results/row.hpp"
#include "job/prepared_row_detail.hpp"
#include "job/row_results_detail.hpp"

namespace gridmill::job_detail {

/// Where the rows of a loop come from. Every rank of a tp group has one, and they say the same.
class RowSource {
 public:
  struct Orders {
    std::uint32_t admitted = 0;  ///< rows to take() before the pass
    bool drain = false;          ///< rows in flight are given up
    bool more_to_come = false;   ///< perhaps not yet
  };
  RowSource() = default;
  RowSource(const RowSource&) = delete;
  RowSource& operator=(const RowSource&) = delete;
  virtual ~RowSource() = default;
  /// Before a pass of `generator`. Collective over the tp group.
  [[nodiscard]] virtual Orders next(const Generator& generator) = 0;
  [[nodiscard]] virtual PreparedRow take() = 0;
  /// Orders have said so; nothing will be taken any more.
  virtual void drain() {}
};

/// Receives finished rows; on the leader of a tp group alone.
class RowSink {
 public:
  RowSink() = default;
  RowSink(const RowSink&) = delete;
  RowSink& operator=(const RowSink&) = delete;
  virtual ~RowSink() = default;
  /// A row that ended; it refers to memory that goes away.
  virtual void put(const RowResult& result) = 0;
  /// Logits of a row that will be put, in a job with logits.
  virtual void put_logits(const RowLogits& logits) = 0;
  /// After the rows of a pass.
  virtual void end_pass(const Generator& generator) = 0;
  /// Rows in flight are given up.
  virtual void put_in_flight(const Generator& generator) = 0;
};

/// Where the time of a replica went.
struct ReplicaTimes {
  double compute_s = 0;      ///< passes of the model
  double idle_s = 0;         ///< without a row, waiting for work or for others
  double prompt_wait_s = 0;  ///< for requests that were not prepared when a pass wanted them
};

/// The one loop over rows: from a source through the generator into a sink, whatever the command.
class RowLoop {
 public:
  /// References must outlive this. Allocates the generator's states.
  /// @param sink  of a leader, else nullptr.
  RowLoop(RunContext& context, const JobConfig& config, const JobPlan& plan, const SlotPlan& slots,
          const PrefixSharing& sharing, RowSource& source, RowSink* sink);
  /// Until the source has nothing more to come, on every rank of a group that passes in lock step.
  /// Collective over the tp group, or over the fsdp group's tp groups where layers are gathered.
  void run();
  [[nodiscard]] const Generator& generator() const { return generator_; }
  [[nodiscard]] const ReplicaTimes& times() const { return times_; }

 private:
  struct Activity {
    std::uint8_t working = 0;
    std::uint8_t pending = 0;
  };
  void admit(std::uint32_t rows);
  [[nodiscard]] Activity group_activity(Activity mine);

  RunContext& context_;
  RowSource& source_;
  RowSink* sink_;
  RowResults results_;
  Generator generator_;
  ReplicaTimes times_;
};

}  // namespace gridmill::job_detail
