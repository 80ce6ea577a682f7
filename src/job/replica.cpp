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
/// How long an idle rank sleeps between looks at its mailbox.
constexpr std::chrono::microseconds kIdleSleep{200};

}  // namespace

Replica::Replica(const Parts& parts)
    : parts_(parts),
      leader_(parts.context.is_leader()),
      row_file_(open_row_file(parts.config.output, false)),
      generator_(parts.context.model(), parts.context.execution(), parts.context.parameters(),
                 {.slots = parts.slots.slots,
                  .max_length = parts.plan.max_length,
                  .pool_positions = parts.slots.pool_positions,
                  .pass_rows = parts.slots.pass_rows,
                  .sharing = {.enabled = parts.config.prefix_memory != 0,
                              .kept = parts.slots.prefixes,
                              .kept_positions = parts.slots.prefix_positions}}),
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
  while (true) {
    forward_signals();
    handle_messages();
    every_pass();
    const PassOrders orders = agree_on_orders();
    admit(orders.admitted);
    if (orders.drain != 0 && !drained_) {
      drained_ = true;
      ahead_.end();
      parts_.context.watch().raise(Alarm::stop);
      if (leader_) put_partial_rows();
    }
    const bool working = !drained_ && !generator_.idle();
    const Activity all =
        group_activity({static_cast<std::uint8_t>(working),
                        static_cast<std::uint8_t>(!drained_ && orders.more_to_come != 0)});
    if (all.working == 0 && all.pending == 0) break;
    const SteadyClock::time_point start = SteadyClock::now();
    if (all.working == 0) {
      std::this_thread::sleep_for(kIdleSleep);
      times_.idle_s += seconds_since(start);
      continue;
    }
    // After a drain a rank still takes part in its group's gathers; a row that ends meanwhile
    // counts.
    const std::vector<Completion> completions = generator_.step();
    (working ? times_.compute_s : times_.idle_s) += seconds_since(start);
    if (!leader_) continue;
    parts_.store->require_healthy();
    for (const Completion& completion : completions) put(completion);
    if (SteadyClock::now() - last_partial_ > parts_.config.partial_interval) put_partial_rows();
    report();
  }
  if (leader_) {
    last_report_ = {};
    report();
    client_->finish();
  }
  ahead_.end();
  generator_.forget_prefixes();
}

void Replica::forward_signals() {
  // The side channel tells every rank; messages do where hosts cannot connect to each other.
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

Replica::PassOrders Replica::agree_on_orders() {
  PassOrders orders;
  std::vector<RowId> rows;
  if (leader_) {
    const auto in_flight = static_cast<std::uint64_t>(generator_.rows_in_flight());
    client_->ask({.in_flight = in_flight,
                  .free_slots = static_cast<std::uint64_t>(generator_.free_slots())});
    rows = client_->in_hand(ahead_.size());
    orders.announced = static_cast<std::uint32_t>(rows.size());
    for (int free = generator_.free_slots(); free > 0 && client_->next(); --free) ++orders.admitted;
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

void Replica::admit(std::uint32_t rows) {
  for (; rows > 0; --rows) {
    const SteadyClock::time_point start = SteadyClock::now();
    PreparedRow prepared = ahead_.take();
    times_.prompt_wait_s += seconds_since(start);
    if (const auto* bad = std::get_if<BadPrompt>(&prepared.request)) {
      put_failed(prepared.row, bad->reason);
      continue;
    }
    if (prepared.saved_length > 0) saved_length_[prepared.row] = prepared.saved_length;
    [[maybe_unused]] const bool admitted =
        generator_.admit(std::move(std::get<Request>(prepared.request)));
    GRIDMILL_ASSERT(admitted, "a row was claimed without a free slot");
  }
}

void Replica::put_failed(RowId row, const std::string& reason) {
  if (!leader_) return;
  parts_.store->put({.row = row,
                     .status = RowStatus::failed,
                     .finish_reason = FinishReason::error,
                     .failure = reason});
  ++unreported_.rows_failed;
}

void Replica::put(const Completion& completion) {
  saved_length_.erase(completion.row);
  if (completion.reason == FinishReason::error) {
    put_failed(completion.row, completion.failure);
    return;
  }
  parts_.store->put({.row = completion.row,
                     .status = RowStatus::done,
                     .finish_reason = completion.reason,
                     .prefix_length = static_cast<std::uint32_t>(completion.prefix_length),
                     .tokens = completion.tokens,
                     .logprobs = completion.logprobs,
                     .top = completion.top,
                     .stop_index = completion.stop_index,
                     .flags = completion.flags});
  ++unreported_.rows_done;
}

void Replica::put_partial_rows() {
  last_partial_ = SteadyClock::now();
  for (const InFlightRow& row : generator_.in_flight()) {
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
  const GeneratorStatistics& now = generator_.statistics();
  unreported_.prompt_tokens =
      static_cast<std::uint64_t>(now.prompt_tokens - reported_.prompt_tokens);
  unreported_.shared_prompt_tokens =
      static_cast<std::uint64_t>(now.shared_tokens - reported_.shared_tokens);
  unreported_.new_tokens = static_cast<std::uint64_t>(now.new_tokens - reported_.new_tokens);
  reported_ = now;
  client_->report(unreported_);
  unreported_ = {};
}

Replica::Activity Replica::group_activity(Activity mine) {
  if (!parts_.context.lock_step()) return mine;
  const Communicator& fsdp = parts_.context.grid().fsdp();
  Activity all;
  for (const Activity& other : all_gather(fsdp, mine)) {
    all.working |= other.working;
    all.pending |= other.pending;
  }
  return all;
}

}  // namespace gridmill::job_detail
