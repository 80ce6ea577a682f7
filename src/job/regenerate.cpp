#include <variant>
#include <vector>

#include "gridmill/generate/generator.hpp"
#include "gridmill/job/request_maker.hpp"
#include "job/regenerate_detail.hpp"

namespace gridmill::job_detail {

namespace {

RowResult result_of(const Completion& completion) {
  if (completion.reason == FinishReason::error) {
    return {.row = completion.row,
            .status = RowStatus::failed,
            .finish_reason = FinishReason::error,
            .failure = completion.failure};
  }
  return {.row = completion.row,
          .status = RowStatus::done,
          .finish_reason = completion.reason,
          .prefix_length = static_cast<std::uint32_t>(completion.prefix_length),
          .tokens = completion.tokens,
          .logprobs = completion.logprobs,
          .top = completion.top,
          .stop_index = completion.stop_index,
          .flags = completion.flags};
}

}  // namespace

void regenerate_rows(const RegenerationJob& job, std::span<const RowId> rows,
                     const RegeneratedRow& take) {
  RunContext& context = job.context;
  const GridShape shape = context.grid().shape();
  const GridCoord coord = context.grid().coord();
  const RequestMaker requests(job.config, job.plan, context.model().info(), job.prompts,
                              context.tokenizer());
  const SlotPlan slots = context.resolve_slots(job.plan.max_length);
  Generator generator(context.model(), context.execution(), context.parameters(),
                      {.slots = slots.slots,
                       .max_length = job.plan.max_length,
                       .pool_positions = slots.pool_positions,
                       .pass_rows = slots.pass_rows});
  NoExchange alone;
  Exchange& lock_step =
      context.lock_step() ? context.fsdp_exchange() : static_cast<Exchange&>(alone);
  const auto take_on_leader = [&](const RowResult& result) {
    if (context.is_leader()) take(result);
  };
  // Every replica takes each `replicas`-th row, so that equal neighbours share out evenly.
  const auto fsdp = static_cast<std::size_t>(shape.fsdp);
  const std::size_t replicas = static_cast<std::size_t>(shape.dp) * fsdp;
  std::size_t next =
      static_cast<std::size_t>(coord.dp) * fsdp + static_cast<std::size_t>(coord.fsdp);
  while (lock_step.any(next < rows.size() || !generator.idle())) {
    for (; next < rows.size() && generator.free_slots() > 0; next += replicas) {
      std::variant<Request, BadPrompt> made = requests.make(rows[next]);
      if (const auto* bad = std::get_if<BadPrompt>(&made)) {
        take_on_leader({.row = rows[next],
                        .status = RowStatus::failed,
                        .finish_reason = FinishReason::error,
                        .failure = bad->reason});
      } else {
        static_cast<void>(generator.admit(std::move(std::get<Request>(made))));
      }
    }
    for (const Completion& completion : generator.step()) take_on_leader(result_of(completion));
  }
}

}  // namespace gridmill::job_detail
