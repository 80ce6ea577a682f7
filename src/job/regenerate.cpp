#include <utility>

#include "gridmill/job/request_maker.hpp"
#include "job/regenerate_detail.hpp"
#include "job/row_loop_detail.hpp"

namespace gridmill::job_detail {

namespace {

/// Every replica takes each `replicas`-th row, so that equal neighbours share out evenly.
class SharedOutRows final : public RowSource {
 public:
  SharedOutRows(std::span<const RowId> rows, const Grid& grid, const RequestMaker& requests)
      : rows_(rows), requests_(requests) {
    const auto fsdp = static_cast<std::size_t>(grid.shape().fsdp);
    replicas_ = static_cast<std::size_t>(grid.shape().dp) * fsdp;
    announced_ = static_cast<std::size_t>(grid.coord().dp) * fsdp +
                 static_cast<std::size_t>(grid.coord().fsdp);
    taken_ = announced_;
  }
  [[nodiscard]] Orders next(const Generator& generator) override {
    Orders orders;
    int free_slots = generator.free_slots();
    for (; announced_ < rows_.size() && free_slots > 0; --free_slots, announced_ += replicas_) {
      ++orders.admitted;
    }
    orders.more_to_come = announced_ < rows_.size();
    return orders;
  }
  [[nodiscard]] PreparedRow take() override {
    const RowId row = rows_[taken_];
    taken_ += replicas_;
    return {.row = row, .request = requests_.make(row)};
  }

 private:
  std::span<const RowId> rows_;
  const RequestMaker& requests_;
  std::size_t replicas_ = 1;
  std::size_t announced_ = 0;  ///< the first that next() has not admitted
  std::size_t taken_ = 0;
};

class HandedOn final : public RowSink {
 public:
  explicit HandedOn(const RegeneratedRow& take) : take_(take) {}
  void put(const RowResult& result) override { take_(result); }
  void put_logits(const RowLogits& /*logits*/) override {}  // their crc is part of the row
  void end_pass(const Generator& /*generator*/) override {}
  void put_in_flight(const Generator& /*generator*/) override {}

 private:
  const RegeneratedRow& take_;
};

}  // namespace

void regenerate_rows(const RegenerationJob& job, std::span<const RowId> rows,
                     const RegeneratedRow& take) {
  RunContext& context = job.context;
  const RequestMaker requests(job.config, job.plan, context.model().info(), job.prompts,
                              context.tokenizer());
  SharedOutRows source(rows, context.grid(), requests);
  HandedOn sink(take);
  RowLoop(context, job.config, job.plan, context.resolve_slots(job.plan.max_length), {}, source,
          context.is_leader() ? &sink : nullptr)
      .run();
}

}  // namespace gridmill::job_detail
