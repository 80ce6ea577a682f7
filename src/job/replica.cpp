#include <algorithm>
#include <thread>
#include <utility>
#include <variant>

#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/grid/collectives.hpp"
#include "gridmill/job/signals.hpp"
#include "job/replica_detail.hpp"

namespace gridmill::job_detail {

namespace {

/// Reports of all leaders together keep rank 0 busy for 1 % of its time, whatever their number
/// (2000 a second of 5 us).
double report_interval_s(const GridShape& grid) {
  return std::max(0.5, 0.0005 * static_cast<double>(grid.dp * grid.fsdp));
}

}  // namespace

Replica::Replica(const Parts& parts)
    : parts_(parts),
      leader_(parts.context.is_leader()),
      row_file_(open_row_file(parts.config.output, false)),
      loop_(parts.context, parts.config, parts.plan, parts.slots,
            {.enabled = parts.config.prefix_memory != 0,
             .kept = parts.slots.prefixes,
             .kept_positions = parts.slots.prefix_positions},
            *this, leader_ ? this : nullptr),
      ahead_([this](RowId row) {
        return prepare_row(row, parts_.requests, *row_file_, parts_.output.layout);
      }) {
  // Asked for ahead of need: half of the slots' worth of rows in hand hides the way to rank 0.
  if (leader_) {
    client_.emplace(parts.context.grid().world().rank(), 0,
                    static_cast<std::uint64_t>((parts.slots.slots + 1) / 2), parts.port);
  }
}

void Replica::run(const std::function<void()>& every_pass) {
  every_pass_ = &every_pass;
  loop_.run();
  if (leader_) {
    last_report_ = {};
    report();
    client_->finish();
  }
  ahead_.end();
}

RowSource::Orders Replica::next(const Generator& generator) {
  forward_signals();
  handle_messages();
  (*every_pass_)();
  const PassOrders orders = agree_on_orders(generator);
  return {.admitted = orders.admitted,
          .drain = orders.drain != 0,
          .more_to_come = orders.more_to_come != 0};
}

PreparedRow Replica::take() {
  PreparedRow prepared = ahead_.take();
  if (prepared.saved_length > 0) saved_length_[prepared.row] = prepared.saved_length;
  return prepared;
}

void Replica::drain() {
  ahead_.end();
  parts_.context.watch().raise(Alarm::stop);
}

void Replica::put_in_flight(const Generator& generator) { put_partial_rows(generator); }

void Replica::put(const RowResult& result) {
  saved_length_.erase(result.row);
  parts_.store->put(result);
  ++(result.status == RowStatus::failed ? unreported_.rows_failed : unreported_.rows_done);
}

void Replica::put_logits(const RowLogits& logits) {
  parts_.store->put_logits(logits.row, static_cast<std::uint64_t>(logits.position),
                           logits.logits.flat());
}

void Replica::end_pass(const Generator& generator) {
  parts_.store->require_healthy();
  if (SteadyClock::now() - last_partial_ > parts_.config.partial_interval) {
    put_partial_rows(generator);
  }
  report();
}

void Replica::forward_signals() {
  // The side channel reaches every rank; messages replace it if hosts cannot connect to each other.
  JobWatch& watch = parts_.context.watch();
  const int stops = signals::stop_requests();
  if (stops > stops_forwarded_) {
    stops_forwarded_ = stops;
    WorkMessage stop{.kind = WorkMessage::Kind::stop, .from = parts_.context.grid().world().rank()};
    stop.at_once = stops > 1 ? 1 : 0;
    parts_.port.send(0, stop);
  }
  if (!watch.stop_requested()) return;
  if (client_) client_->handle({.kind = WorkMessage::Kind::drain});
  if (parts_.server != nullptr) parts_.server->start_drain(false);
}

void Replica::handle_messages() {
  while (const std::optional<WorkMessage> message = parts_.port.poll()) {
    using Kind = WorkMessage::Kind;
    if (message->kind == Kind::grant || message->kind == Kind::drain) {
      GRIDMILL_ASSERT(client_.has_value(), "only leaders get work");
      client_->handle(*message);
      if (client_->at_once()) parts_.context.watch().raise(Alarm::at_once);
    } else {
      GRIDMILL_ASSERT(parts_.server != nullptr, "only rank 0 serves leases");
      parts_.server->handle(*message);
    }
  }
}

Replica::PassOrders Replica::agree_on_orders(const Generator& generator) {
  PassOrders orders;
  std::vector<RowId> rows;
  if (leader_) {
    const auto in_flight = static_cast<std::uint64_t>(generator.rows_in_flight());
    client_->ask(
        {.in_flight = in_flight, .free_slots = static_cast<std::uint64_t>(generator.free_slots())});
    rows = client_->in_hand(ahead_.size());
    orders.announced = static_cast<std::uint32_t>(rows.size());
    for (int free = generator.free_slots(); free > 0 && client_->next(); --free) ++orders.admitted;
    orders.drain = client_->draining() ? 1 : 0;
    orders.more_to_come = client_->exhausted() ? 0 : 1;
  }
  const Communicator& tp = parts_.context.grid().tp();
  if (tp.size() > 1) {
    broadcast(tp, 0, orders);
    if (orders.announced > 0) broadcast(tp, 0, rows);
  }
  ahead_.announce(rows);
  return orders;
}

void Replica::put_partial_rows(const Generator& generator) {
  last_partial_ = SteadyClock::now();
  // A scored row has nothing that was generated: it is fed again as a whole.
  if (parts_.config.score.enabled) return;
  for (const InFlightRow& row : generator.in_flight()) {
    // Nothing new since it was saved: a row that still replays lacks logprobs, too.
    std::size_t& saved = saved_length_[row.row];
    saved = std::max(saved, static_cast<std::size_t>(row.prefix_length));
    if (row.tokens.size() <= saved) continue;
    saved = row.tokens.size();
    parts_.store->put({.row = row.row,
                       .status = RowStatus::partial,
                       .finish_reason = FinishReason::none,
                       .prefix_length = static_cast<std::uint32_t>(row.prefix_length),
                       .tokens = row.tokens,
                       .logprobs = row.logprobs,
                       .top = row.top,
                       .flags = row.flags});
  }
}

void Replica::report() {
  if (seconds_since(last_report_) < report_interval_s(parts_.context.grid().shape())) return;
  last_report_ = SteadyClock::now();
  const GeneratorStatistics& now = statistics();
  unreported_.prompt_tokens =
      static_cast<std::uint64_t>(now.prompt_tokens - reported_.prompt_tokens);
  unreported_.shared_prompt_tokens =
      static_cast<std::uint64_t>(now.shared_tokens - reported_.shared_tokens);
  unreported_.new_tokens = static_cast<std::uint64_t>(now.new_tokens - reported_.new_tokens);
  reported_ = now;
  client_->report(unreported_);
  unreported_ = {};
}

}  // namespace gridmill::job_detail
