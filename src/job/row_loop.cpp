#include <chrono>
#include <thread>
#include <utility>
#include <variant>

#include "gridmill/base/check.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/grid/collectives.hpp"
#include "job/row_loop_detail.hpp"

namespace gridmill::job_detail {

namespace {
/// How long an idle rank sleeps between looks at its source.
constexpr std::chrono::microseconds kIdleSleep{200};
}  // namespace

RowLoop::RowLoop(RunContext& context, const JobConfig& config, const JobPlan& plan,
                 const SlotPlan& slots, const PrefixSharing& sharing, RowSource& source,
                 RowSink* sink)
    : context_(context),
      source_(source),
      sink_(sink),
      results_(config, plan),
      generator_(context.model(), context.execution(), context.parameters(),
                 {.slots = slots.slots,
                  .max_length = plan.max_length,
                  .pool_positions = slots.pool_positions,
                  .pass_rows = slots.pass_rows,
                  .sharing = sharing}) {}

void RowLoop::run() {
  bool drained = false;
  while (true) {
    const RowSource::Orders orders = source_.next(generator_);
    admit(orders.admitted);
    if (orders.drain && !drained) {
      drained = true;
      source_.drain();
      if (sink_ != nullptr) sink_->put_in_flight(generator_);
    }
    const bool working = !drained && !generator_.idle();
    const Activity all =
        group_activity({static_cast<std::uint8_t>(working),
                        static_cast<std::uint8_t>(!drained && orders.more_to_come)});
    if (all.working == 0 && all.pending == 0) break;
    const SteadyClock::time_point start = SteadyClock::now();
    if (all.working == 0) {
      std::this_thread::sleep_for(kIdleSleep);
      times_.idle_s += seconds_since(start);
      continue;
    }
    // After a drain a rank still takes part in its group's gathers; a row that ends meanwhile
    // counts.
    std::vector<Completion> completions = generator_.step();
    (working ? times_.compute_s : times_.idle_s) += seconds_since(start);
    if (sink_ == nullptr) continue;
    for (const RowLogits& logits : generator_.logits()) {
      results_.add_logits(logits);
      sink_->put_logits(logits);
    }
    for (Completion& completion : completions) sink_->put(results_.of(completion));
    sink_->end_pass(generator_);
  }
  generator_.forget_prefixes();
}

void RowLoop::admit(std::uint32_t rows) {
  for (; rows > 0; --rows) {
    const SteadyClock::time_point start = SteadyClock::now();
    PreparedRow prepared = source_.take();
    times_.prompt_wait_s += seconds_since(start);
    if (const auto* bad = std::get_if<BadPrompt>(&prepared.request)) {
      if (sink_ != nullptr) sink_->put(results_.failed(prepared.row, bad->reason));
      continue;
    }
    [[maybe_unused]] const bool admitted =
        generator_.admit(std::move(std::get<Request>(prepared.request)));
    GRIDMILL_ASSERT(admitted, "a row was claimed without a free slot");
  }
}

RowLoop::Activity RowLoop::group_activity(Activity mine) {
  if (!context_.lock_step()) return mine;
  Activity all;
  for (const Activity& other : all_gather(context_.grid().fsdp(), mine)) {
    all.working |= other.working;
    all.pending |= other.pending;
  }
  return all;
}

}  // namespace gridmill::job_detail
