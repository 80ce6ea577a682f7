#include "gridmill/job/work_protocol.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "gridmill/base/check.hpp"

namespace gridmill {

static_assert(std::is_trivially_copyable_v<WorkMessage>);

LeaseServer::LeaseServer(LeaseQueue queue, std::vector<int> leaders, WorkPort& port)
    : queue_(std::move(queue)),
      leaders_(std::move(leaders)),
      held_(leaders_.size(), 0),
      port_(&port) {}

std::size_t LeaseServer::index_of(int leader) const {
  const auto found = std::lower_bound(leaders_.begin(), leaders_.end(), leader);
  GRIDMILL_ASSERT(found != leaders_.end() && *found == leader, "a message of no leader");
  return static_cast<std::size_t>(found - leaders_.begin());
}

WorkMessage LeaseServer::answer_to(const WorkMessage& request) {
  WorkMessage answer{.kind = WorkMessage::Kind::grant};
  std::uint64_t most = queue_.guided();
  if (queue_.few() && queue_.remaining() > 0) {
    const std::uint64_t share =
        (queue_.remaining() + all_held_ + leaders_.size() - 1) / leaders_.size();
    most = std::min(request.free, share > request.held ? share - request.held : 0);
    answer.few = 1;
    answer.later = most == 0 ? 1 : 0;
  }
  const std::vector<RowRange> rows = queue_.take(WorkMessage::kMaxRanges, most);
  answer.ranges = static_cast<std::uint32_t>(rows.size());
  std::copy(rows.begin(), rows.end(), answer.rows.begin());
  return answer;
}

void LeaseServer::handle(const WorkMessage& message) {
  using enum WorkMessage::Kind;
  switch (message.kind) {
    case request: {
      holds(message.from, message.held);
      const WorkMessage answer = answer_to(message);
      std::uint64_t granted = 0;
      for (std::uint32_t i = 0; i < answer.ranges; ++i) granted += answer.rows[i].count;
      holds(message.from, message.held + granted);
      if (granted > 0) ++grants_;
      port_->send(message.from, answer);
      return;
    }
    case report:
      counts_ += message.counts;
      return;
    case stop:
      start_drain(message.at_once != 0);
      return;
    case finished:
      ++finished_;
      return;
    case grant:
    case drain:
      break;
  }
  throw InternalError("the lease server got a message meant for a leader");
}

void LeaseServer::holds(int leader, std::uint64_t rows) {
  std::uint64_t& held = held_[index_of(leader)];
  all_held_ += rows - held;
  held = rows;
}

void LeaseServer::start_drain(bool at_once) {
  if (draining_ && (at_once_ || !at_once)) return;
  draining_ = true;
  at_once_ = at_once;
  queue_.drain();
  for (const int leader : leaders_) {
    port_->send(leader,
                {.kind = WorkMessage::Kind::drain, .at_once = static_cast<std::uint32_t>(at_once)});
  }
}

LeaseClient::LeaseClient(int rank, int server, std::uint64_t low_water, WorkPort& port)
    : rank_(rank), server_(server), low_water_(low_water), port_(&port) {}

WorkMessage LeaseClient::message(WorkMessage::Kind kind) const {
  return {.kind = kind, .from = rank_};
}

void LeaseClient::ask(const LeaderLoad& load) {
  if (asked_ || no_more_ || draining_ || stock_ > low_water_) return;
  WorkMessage request = message(WorkMessage::Kind::request);
  request.held = load.in_flight + stock_;
  request.free = load.free_slots > stock_ ? load.free_slots - stock_ : 0;
  if (few_ && request.free == 0) return;
  if (refused_at_ == request.held) return;
  refused_at_ = request.held;  // as long as no rows come
  asked_ = true;
  port_->send(server_, request);
}

void LeaseClient::handle(const WorkMessage& message) {
  if (message.kind == WorkMessage::Kind::drain) {
    draining_ = true;
    at_once_ = at_once_ || message.at_once != 0;
    rows_.clear();
    stock_ = 0;
    return;
  }
  GRIDMILL_ASSERT(message.kind == WorkMessage::Kind::grant, "a leader gets grants and drains");
  asked_ = false;
  few_ = message.few != 0;
  if (message.ranges == 0 && message.later == 0) no_more_ = true;
  if (message.ranges > 0) refused_at_.reset();
  if (draining_) return;
  for (std::uint32_t i = 0; i < message.ranges; ++i) {
    rows_.push_back(message.rows[i]);
    stock_ += message.rows[i].count;
  }
}

std::optional<RowId> LeaseClient::next() {
  if (rows_.empty()) return std::nullopt;
  RowRange& front = rows_.front();
  const RowId row = front.first;
  ++front.first;
  --front.count;
  --stock_;
  if (front.count == 0) rows_.pop_front();
  return row;
}

std::vector<RowId> LeaseClient::in_hand(std::uint64_t known) const {
  std::vector<RowId> rows;
  if (known >= stock_) return rows;
  rows.reserve(stock_ - known);
  for (const RowRange& range : rows_) {
    const std::uint64_t skipped = std::min(known, range.count);
    known -= skipped;
    for (std::uint64_t i = skipped; i < range.count; ++i) rows.push_back(range.first + i);
  }
  return rows;
}

void LeaseClient::report(const ProgressCounts& counts) {
  WorkMessage report = message(WorkMessage::Kind::report);
  report.counts = counts;
  port_->send(server_, report);
}

void LeaseClient::finish() { port_->send(server_, message(WorkMessage::Kind::finished)); }

}  // namespace gridmill
