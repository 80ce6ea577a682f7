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

/// Where the time of a replica went.
struct ReplicaTimes {
  double compute_s = 0;      ///< passes of the model
  double idle_s = 0;         ///< without a row, waiting for work or for others
  double prompt_wait_s = 0;  ///< for requests that were not prepared when a pass wanted them
};

/// One rank's part in the loop: claims rows (leader), generates them with its tp group, and writes
/// them (leader).
class Replica {
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

  /// Generates until nothing is left or the job drains. Collective over every rank.
  /// @param every_pass  called between passes with all counters known here.
  void run(const std::function<void()>& every_pass);

  [[nodiscard]] const GeneratorStatistics& statistics() const { return generator_.statistics(); }
  [[nodiscard]] const ReplicaTimes& times() const { return times_; }

 private:
  /// What the leader tells its tp group before a pass. Rows are announced when they come into the
  /// leader's hands, so that every rank prepares them, and admitted later, in the same order.
  struct PassOrders {
    std::uint32_t announced = 0;
    std::uint32_t admitted = 0;
    std::uint32_t drain = 0;
    std::uint32_t more_to_come = 0;
  };
  struct Activity {
    std::uint8_t working = 0;
    std::uint8_t pending = 0;
  };

  void handle_messages();
  void forward_signals();
  PassOrders agree_on_orders();
  void admit(std::uint32_t rows);
  void put_failed(RowId row, const std::string& reason);
  void put(const Completion& completion);
  void put_partial_rows();
  void report();
  Activity group_activity(Activity mine);

  Parts parts_;
  bool leader_;
  std::unique_ptr<RowFile> row_file_;  ///< to read partial rows of earlier runs
  Generator generator_;
  std::optional<LeaseClient> client_;
  ProgressCounts unreported_;
  GeneratorStatistics reported_;
  SteadyClock::time_point last_report_ = SteadyClock::now();
  SteadyClock::time_point last_partial_ = SteadyClock::now();
  std::unordered_map<RowId, std::size_t> saved_length_;  ///< tokens of rows in flight on disk
  int stops_forwarded_ = 0;
  bool drained_ = false;
  ReplicaTimes times_;
  RequestAhead ahead_;  ///< last: its thread uses row_file_
};

}  // namespace gridmill::job_detail
