#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "gridmill/job/lease_queue.hpp"
#include "gridmill/job/progress.hpp"

namespace gridmill {

/// A message between rank 0 and the leaders of the replicas. Trivially copyable: travels as
/// bytes.
struct WorkMessage {
  enum class Kind : std::uint32_t {
    request,   ///< leader to server: more rows, please
    grant,     ///< server to leader: rows; none = nothing left, or none now
    report,    ///< leader to server: counters since the last report
    stop,      ///< any rank to server: a signal or the time limit requests a clean stop
    drain,     ///< server to leader: no new rows, commit, leave
    finished,  ///< leader to server: idle for good
  };
  static constexpr std::size_t kMaxRanges = 8;

  Kind kind = Kind::request;
  std::uint32_t ranges = 0;
  std::int32_t from = 0;      ///< rank of the sender
  std::uint32_t at_once = 0;  ///< stop, drain: leave without finishing the pass
  /// grant: few rows are left, so a leader requests only rows that it can begin at once.
  std::uint32_t few = 0;
  /// grant without rows: the rest is for others; request again when a row has ended.
  std::uint32_t later = 0;
  std::uint64_t held = 0;  ///< request: rows in flight and in hand
  std::uint64_t free = 0;  ///< request: rows beyond these that could begin at once
  std::array<RowRange, kMaxRanges> rows{};
  ProgressCounts counts{};
};

/// Carries messages between ranks; grid's mailbox in a job, a queue with virtual time in
/// simulations.
class WorkPort {
 public:
  WorkPort() = default;
  WorkPort(const WorkPort&) = delete;
  WorkPort& operator=(const WorkPort&) = delete;
  virtual ~WorkPort() = default;
  /// Never blocks.
  virtual void send(int rank, const WorkMessage& message) = 0;
  [[nodiscard]] virtual std::optional<WorkMessage> poll() = 0;
};

/// Hands out rows and collects counters; on rank 0, beside its own work: serve() once a pass.
///
/// While many rows are left, a leader gets a guided lease whenever it asks. When few are left, it
/// gets what it can begin at once, and not so many that it would hold more than its share of all
/// rows that have not ended; so the leaders end within one row of each other.
/// Two-sided on purpose: passive-target RMA needs the target inside MPI, and fails between hosts in
/// Open MPI 4.1.4.
class LeaseServer {
 public:
  LeaseServer(LeaseQueue queue, std::vector<int> leaders, WorkPort& port);
  /// Handles one message.
  void handle(const WorkMessage& message);
  /// Tells every leader to stop; later requests get nothing.
  void start_drain(bool at_once);
  [[nodiscard]] bool all_finished() const { return finished_ == leaders_.size(); }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] const ProgressCounts& counts() const { return counts_; }
  [[nodiscard]] std::uint64_t remaining() const { return queue_.remaining(); }
  [[nodiscard]] std::uint64_t grants() const { return grants_; }

 private:
  [[nodiscard]] WorkMessage answer_to(const WorkMessage& request);
  [[nodiscard]] std::size_t index_of(int leader) const;
  void holds(int leader, std::uint64_t rows);

  LeaseQueue queue_;
  std::vector<int> leaders_;
  std::vector<std::uint64_t> held_;  ///< rows of each leader, as it said last
  std::uint64_t all_held_ = 0;
  WorkPort* port_;
  ProgressCounts counts_;
  std::size_t finished_ = 0;
  std::uint64_t grants_ = 0;
  bool draining_ = false;
  bool at_once_ = false;
};

/// Load of a leader.
struct LeaderLoad {
  std::uint64_t in_flight = 0;   ///< rows
  std::uint64_t free_slots = 0;  ///< rows that could begin at once
};

/// A leader's side: keeps `low_water` rows in hand, asked for ahead of need while many are left.
class LeaseClient {
 public:
  LeaseClient(int rank, int server, std::uint64_t low_water, WorkPort& port);
  /// Asks for more if the stock is low and no answer is to come.
  void ask(const LeaderLoad& load);
  /// Handles one message from the server.
  void handle(const WorkMessage& message);
  /// Next row to generate, if one is in hand.
  [[nodiscard]] std::optional<RowId> next();
  /// Rows that next() will give, in order, behind the first `known` of them.
  [[nodiscard]] std::vector<RowId> in_hand(std::uint64_t known) const;
  /// No row is in hand and none will come.
  [[nodiscard]] bool exhausted() const { return rows_.empty() && (no_more_ || draining_); }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] bool at_once() const { return at_once_; }
  /// Sends `counts` since the last report.
  void report(const ProgressCounts& counts);
  void finish();

 private:
  WorkMessage message(WorkMessage::Kind kind) const;
  int rank_;
  int server_;
  std::uint64_t low_water_;
  WorkPort* port_;
  std::deque<RowRange> rows_;
  std::uint64_t stock_ = 0;
  bool asked_ = false;
  bool few_ = false;
  /// Rows held when the server had none to give; more are asked for when this has changed.
  std::optional<std::uint64_t> refused_at_;
  bool no_more_ = false;
  bool draining_ = false;
  bool at_once_ = false;
};

}  // namespace gridmill
