#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <utility>
#include <vector>

#include "gridmill/job/lease_queue.hpp"
#include "gridmill/job/work_protocol.hpp"

namespace gridmill::test {

/// How rows get to ranks.
enum class Division {
  block,   ///< rank r has the r-th part of the file
  cyclic,  ///< rank r has every P-th row
  leases,  ///< asked for: the code of the product
};

struct ClusterOptions {
  int ranks = 4;
  int slots = 16;  ///< rows in flight a rank
  int group = 1;   ///< ranks that pass in lock step (per-layer gathering)
  Division division = Division::leases;
  double pass_s = 0.05;                  ///< one token of each row in flight
  double latency_s = 0.001;              ///< of a message
  double message_s = 5e-6;               ///< that rank 0 spends on one, sent or received
  double report_s = 0.5;                 ///< between a leader's reports
  double slow_factor = 1;                ///< of the last rank's passes
  std::uint64_t samples = 1;             ///< rows of a prompt
  std::vector<std::uint32_t> lengths{};  ///< tokens of each row
};

struct ClusterResult {
  double makespan_s = 0;
  double best_s = 0;                ///< no division could be faster: capacity, or the longest row
  double idle_share = 0;            ///< of all ranks' time: no row in flight
  double longest_tail_s = 0;        ///< between the last row of a rank and the last row of all
  double messages_per_s = 0;        ///< at rank 0
  double server_share = 0;          ///< of rank 0's time
  std::uint64_t largest_burst = 0;  ///< messages that one look found
  std::uint64_t grants = 0;
  [[nodiscard]] double efficiency() const { return best_s / makespan_s; }
};

/// Ranks in virtual time, around the real LeaseServer and LeaseClient. Events are passes at which
/// something happens; those between are skipped.
class VirtualCluster {
 public:
  explicit VirtualCluster(const ClusterOptions& options);
  ~VirtualCluster();
  /// @throws std::logic_error unless every row was generated exactly once.
  [[nodiscard]] ClusterResult run();

 private:
  class Port;
  struct Rank;
  struct Group;
  struct Event {
    double time;
    int group;
    bool operator>(const Event& other) const { return time > other.time; }
  };

  void post(int to, const WorkMessage& message);
  void wake(int group, double time);
  void visit(Group& group, double time);
  void advance(Group& group, std::int64_t passes);
  void look_at_mail(Rank& rank);
  void ask(Rank& rank);
  void fill_slots(Rank& rank);
  void plan_next_visit(Group& group);
  [[nodiscard]] Group& group_of(int rank);
  [[nodiscard]] double best_possible_s() const;

  ClusterOptions options_;
  double now_ = 0;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::vector<std::unique_ptr<Group>> groups_;
  std::unique_ptr<Port> server_port_;
  std::unique_ptr<LeaseServer> server_;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  std::vector<std::uint8_t> generated_;
  double server_s_ = 0;
  double visit_cost_s_ = 0;  ///< of rank 0's messages in the visit at hand
  std::uint64_t messages_ = 0;
  std::uint64_t largest_burst_ = 0;
};

}  // namespace gridmill::test
