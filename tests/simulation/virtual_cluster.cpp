#include "simulation/virtual_cluster.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace gridmill::test {

struct Mail {
  double arrives;
  WorkMessage message;
};

class VirtualCluster::Port final : public WorkPort {
 public:
  Port(VirtualCluster& cluster, int rank) : cluster_(cluster), rank_(rank) {}
  void send(int rank, const WorkMessage& message) override {
    if (rank_ == 0) cluster_.visit_cost_s_ += cluster_.options_.message_s;
    cluster_.post(rank, message);
  }
  std::optional<WorkMessage> poll() override;

 private:
  VirtualCluster& cluster_;
  int rank_;
};

struct VirtualCluster::Rank {
  Rank(VirtualCluster& cluster, int rank, std::uint64_t low_water)
      : number(rank), port(cluster, rank), client(rank, 0, low_water, port) {}
  struct Live {
    RowId row;
    std::int64_t left;
  };
  int number;
  Port port;
  LeaseClient client;
  std::deque<Mail> mail;
  std::deque<RowId> own;  ///< rows of a static division
  std::vector<Live> live;
  double last_report = 0;
  double idle_s = 0;
  double last_row_s = 0;  ///< until then it had a row in flight
  bool finished = false;
};

struct VirtualCluster::Group {
  std::vector<Rank*> members;
  double pass_s = 0;
  double at = 0;                                           ///< begin of the pass at hand
  double wakes = std::numeric_limits<double>::infinity();  ///< planned visit
  [[nodiscard]] bool busy() const {
    return std::any_of(members.begin(), members.end(),
                       [](const Rank* rank) { return !rank->live.empty(); });
  }
};

std::optional<WorkMessage> VirtualCluster::Port::poll() {
  std::deque<Mail>& mail = cluster_.ranks_[static_cast<std::size_t>(rank_)]->mail;
  if (mail.empty() || mail.front().arrives > cluster_.now_) return std::nullopt;
  const WorkMessage message = mail.front().message;
  mail.pop_front();
  if (rank_ == 0) {
    cluster_.visit_cost_s_ += cluster_.options_.message_s;
    ++cluster_.messages_;
  }
  return message;
}

VirtualCluster::VirtualCluster(const ClusterOptions& options)
    : options_(options), generated_(options.lengths.size()) {
  const auto rows = static_cast<std::uint64_t>(options.lengths.size());
  const auto slots = static_cast<std::uint64_t>(options.slots);
  std::vector<int> leaders;
  for (int rank = 0; rank < options.ranks; ++rank) {
    leaders.push_back(rank);
    ranks_.push_back(std::make_unique<Rank>(*this, rank, (slots + 1) / 2));
    if (rank % options.group == 0) groups_.push_back(std::make_unique<Group>());
    Group& group = *groups_.back();
    group.members.push_back(ranks_.back().get());
    const bool slow = rank == options.ranks - 1;
    group.pass_s = std::max(group.pass_s, options.pass_s * (slow ? options.slow_factor : 1));
  }
  server_port_ = std::make_unique<Port>(*this, 0);
  server_ = std::make_unique<LeaseServer>(
      LeaseQueue(rows == 0 ? std::vector<RowRange>{} : std::vector<RowRange>{{0, rows}},
                 options.ranks, slots, options.samples),
      leaders, *server_port_);
  const auto ranks = static_cast<std::uint64_t>(options.ranks);
  for (RowId row = 0; options.division != Division::leases && row < rows; ++row) {
    const std::uint64_t owner =
        options.division == Division::cyclic ? row % ranks : row * ranks / rows;
    ranks_[owner]->own.push_back(row);
  }
}

VirtualCluster::~VirtualCluster() = default;

VirtualCluster::Group& VirtualCluster::group_of(int rank) {
  return *groups_[static_cast<std::size_t>(rank / options_.group)];
}

void VirtualCluster::post(int to, const WorkMessage& message) {
  const double arrives = now_ + options_.latency_s;
  ranks_[static_cast<std::size_t>(to)]->mail.push_back({arrives, message});
  Group& group = group_of(to);
  double seen = arrives;  // a computing rank looks between passes
  if (group.busy()) {
    seen = group.at + std::ceil((arrives - group.at) / group.pass_s - 1e-9) * group.pass_s;
  }
  wake(to / options_.group, std::max(seen, arrives));
}

void VirtualCluster::wake(int group, double time) {
  Group& sleeper = *groups_[static_cast<std::size_t>(group)];
  if (time >= sleeper.wakes) return;
  sleeper.wakes = time;
  events_.push({time, group});
}

void VirtualCluster::advance(Group& group, std::int64_t passes) {
  for (Rank* rank : group.members) {
    if (rank->live.empty()) continue;
    for (Rank::Live& row : rank->live) row.left -= passes;
    rank->last_row_s = now_;
    std::erase_if(rank->live, [&](const Rank::Live& row) {
      if (row.left > 0) return false;
      ++generated_[row.row];
      return true;
    });
  }
}

void VirtualCluster::look_at_mail(Rank& rank) {
  std::uint64_t found = 0;
  while (const auto message = rank.port.poll()) {
    ++found;
    using Kind = WorkMessage::Kind;
    if (message->kind == Kind::grant || message->kind == Kind::drain) {
      rank.client.handle(*message);
    } else {
      server_->handle(*message);
    }
  }
  if (rank.number == 0) largest_burst_ = std::max(largest_burst_, found);
}

void VirtualCluster::ask(Rank& rank) {
  const std::uint64_t live = rank.live.size();
  rank.client.ask(
      {.in_flight = live, .free_slots = static_cast<std::uint64_t>(options_.slots) - live});
}

void VirtualCluster::fill_slots(Rank& rank) {
  if (rank.finished) return;
  const bool leases = options_.division == Division::leases;
  if (leases) ask(rank);
  while (rank.live.size() < static_cast<std::size_t>(options_.slots)) {
    std::optional<RowId> row;
    if (leases) {
      row = rank.client.next();
    } else if (!rank.own.empty()) {
      row = rank.own.front();
      rank.own.pop_front();
    }
    if (!row) break;
    rank.live.push_back({*row, options_.lengths[*row]});
  }
  if (leases) {
    ask(rank);
    if (now_ - rank.last_report >= options_.report_s) {
      rank.last_report = now_;
      rank.client.report({});
    }
  }
  const bool exhausted = leases ? rank.client.exhausted() : rank.own.empty();
  if (rank.live.empty() && exhausted) {
    rank.finished = true;
    if (leases) rank.client.finish();
  }
}

void VirtualCluster::visit(Group& group, double time) {
  const double since = time - group.at;
  now_ = time;
  for (Rank* rank : group.members) {
    if (rank->live.empty()) rank->idle_s += since;
  }
  if (group.busy()) advance(group, std::llround(since / group.pass_s));
  group.at = time;
  visit_cost_s_ = 0;
  for (Rank* rank : group.members) look_at_mail(*rank);
  for (Rank* rank : group.members) fill_slots(*rank);
  if (group.members.front()->number == 0) {
    server_s_ += visit_cost_s_;
    group.at += visit_cost_s_;  // the next pass begins later
  }
  plan_next_visit(group);
}

void VirtualCluster::plan_next_visit(Group& group) {
  group.wakes = std::numeric_limits<double>::infinity();
  std::int64_t passes = std::numeric_limits<std::int64_t>::max();
  double mail = std::numeric_limits<double>::infinity();
  for (const Rank* rank : group.members) {
    for (const Rank::Live& row : rank->live) passes = std::min(passes, row.left);
    if (!rank->mail.empty()) mail = std::min(mail, rank->mail.front().arrives);
  }
  const int number = group.members.front()->number / options_.group;
  if (!group.busy()) {
    if (std::isfinite(mail)) wake(number, std::max(mail, group.at));
    return;
  }
  if (std::isfinite(mail)) {
    const double waits = std::max(0.0, mail - group.at);
    passes = std::min(
        passes, std::max<std::int64_t>(1, std::llround(std::ceil(waits / group.pass_s - 1e-9))));
  }
  wake(number, group.at + static_cast<double>(passes) * group.pass_s);
}

double VirtualCluster::best_possible_s() const {
  const double tokens = std::accumulate(options_.lengths.begin(), options_.lengths.end(), 0.0);
  double tokens_per_s = 0;
  for (const auto& group : groups_) {
    tokens_per_s += static_cast<double>(group->members.size()) * options_.slots / group->pass_s;
  }
  const std::uint32_t longest =
      options_.lengths.empty()
          ? 0
          : *std::max_element(options_.lengths.begin(), options_.lengths.end());
  return std::max(tokens / tokens_per_s, longest * options_.pass_s);
}

ClusterResult VirtualCluster::run() {
  for (std::size_t group = 0; group < groups_.size(); ++group) wake(static_cast<int>(group), 0);
  while (!events_.empty()) {
    const Event event = events_.top();
    events_.pop();
    Group& group = *groups_[static_cast<std::size_t>(event.group)];
    if (event.time != group.wakes) continue;  // an earlier visit came in between
    visit(group, event.time);
  }
  if (std::any_of(generated_.begin(), generated_.end(), [](auto times) { return times != 1; })) {
    throw std::logic_error("a row was not generated exactly once");
  }
  if (options_.division == Division::leases && !server_->all_finished()) {
    throw std::logic_error("a leader did not say that it has finished");
  }
  ClusterResult result;
  for (const auto& group : groups_) result.makespan_s = std::max(result.makespan_s, group->at);
  double idle_s = 0;
  for (const auto& rank : ranks_) {
    result.longest_tail_s = std::max(result.longest_tail_s, result.makespan_s - rank->last_row_s);
    idle_s += rank->idle_s + result.makespan_s - group_of(rank->number).at;
  }
  result.best_s = best_possible_s();
  result.idle_share = idle_s / (result.makespan_s * options_.ranks);
  result.messages_per_s = static_cast<double>(messages_) / result.makespan_s;
  result.server_share = server_s_ / result.makespan_s;
  result.largest_burst = largest_burst_;
  result.grants = server_->grants();
  return result;
}

}  // namespace gridmill::test
