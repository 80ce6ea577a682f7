#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/generate/generator.hpp"
#include "gridmill/grid/mailbox.hpp"
#include "gridmill/job/job_plan.hpp"
#include "gridmill/job/progress.hpp"
#include "gridmill/job/request_maker.hpp"
#include "gridmill/job/run_context.hpp"
#include "gridmill/job/work_protocol.hpp"
#include "gridmill/results/result_store.hpp"
#include "job/output_detail.hpp"
#include "job/request_ahead_detail.hpp"
#include "job/row_loop_detail.hpp"

namespace gridmill::job_detail {

/// Leases over MPI messages.
class MailboxPort final : public WorkPort {
 public:
  explicit MailboxPort(Mailbox& mailbox) : mailbox_(mailbox) {}
  void send(int rank, const WorkMessage& message) override { mailbox_.send(rank, kTag, message); }
  [[nodiscard]] std::optional<WorkMessage> poll() override {
    const std::optional<Message> message = mailbox_.poll();
    if (!message) return std::nullopt;
    return message->as<WorkMessage>();
  }

 private:
  static constexpr int kTag = 0;
  Mailbox& mailbox_;
};

/// One rank's part in a run that writes a result file: rows are claimed from rank 0 (leader),
/// prepared ahead on every rank of the tp group, and written (leader).
class Replica final : private RowSource, private RowSink {
 public:
  struct Parts {
    RunContext& context;
    const JobConfig& config;
    const JobPlan& plan;
    const Output& output;
    const RequestMaker& requests;
    WorkPort& port;
    LeaseServer* server;  ///< on rank 0
    ResultStore* store;   ///< on leaders
    SlotPlan slots;
  };
  explicit Replica(const Parts& parts);

  /// Goes on until nothing is left or the job drains. Collective over every rank.
  /// @param every_pass  called between passes with all counters known here.
  void run(const std::function<void()>& every_pass);

  [[nodiscard]] const GeneratorStatistics& statistics() const {
    return loop_.generator().statistics();
  }
  [[nodiscard]] const ReplicaTimes& times() const { return loop_.times(); }

 private:
  /// Orders of the leader to its tp group before a pass. Rows are announced when they come into the
  /// leader's hands, so that every rank prepares them, and admitted later, in the same order.
  struct PassOrders {
    std::uint32_t announced = 0;
    std::uint32_t admitted = 0;
    std::uint32_t drain = 0;
    std::uint32_t more_to_come = 0;
  };

  [[nodiscard]] Orders next(const Generator& generator) override;
  [[nodiscard]] PreparedRow take() override;
  void drain() override;
  void put(const RowResult& result) override;
  void put_logits(const RowLogits& logits) override;
  void end_pass(const Generator& generator) override;
  void put_in_flight(const Generator& generator) override;

  void handle_messages();
  void forward_signals();
  PassOrders agree_on_orders(const Generator& generator);
  void put_partial_rows(const Generator& generator);
  void report();

  Parts parts_;
  bool leader_;
  std::unique_ptr<RowFile> row_file_;                  ///< to read partial rows of earlier runs
  const std::function<void()>* every_pass_ = nullptr;  ///< while run() is on
  std::optional<LeaseClient> client_;
  ProgressCounts unreported_;
  GeneratorStatistics reported_;
  SteadyClock::time_point last_report_ = SteadyClock::now();
  SteadyClock::time_point last_partial_ = SteadyClock::now();
  std::unordered_map<RowId, std::size_t> saved_length_;  ///< tokens of rows in flight on disk
  int stops_forwarded_ = 0;
  RowLoop loop_;
  RequestAhead ahead_;  ///< last: its thread uses row_file_
};

}  // namespace gridmill::job_detail
