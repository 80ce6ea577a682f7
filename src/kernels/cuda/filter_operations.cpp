#include <vector>

#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/filter.hpp"

namespace gridmill::cuda {

namespace {

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

/// The rules of all rows, one row behind the other.
class RuleList {
 public:
  RuleSlice add(const LogitRules& rules) {
    const RuleSlice slice{static_cast<std::int64_t>(rules_.size()),
                          static_cast<std::int64_t>(rules.tokens.size())};
    rules_.insert(rules_.end(), rules.tokens.begin(), rules.tokens.end());
    return slice;
  }
  [[nodiscard]] std::span<const TokenRule> all() const { return rules_; }

 private:
  std::vector<TokenRule> rules_;
};

}  // namespace

void CudaBackend::adjust_logits(Stream& stream, std::span<const SamplingPlan> plans,
                                const KeptLogits& kept, LogitPeak* peaks) {
  CudaStream& on = cuda_stream(stream);
  RuleList rules;
  std::vector<AdjustRow> rows;
  for (const SamplingPlan& plan : plans) {
    rows.push_back({.rules = rules.add(plan.rules),
                    .repetition = plan.rules.repetition,
                    .frequency = plan.rules.frequency,
                    .presence = plan.rules.presence,
                    .only_allowed = plan.rules.only_allowed,
                    .forbid_ends = plan.rules.forbid_ends});
  }
  launch_adjust(on.handle(), static_cast<std::int64_t>(rows.size()),
                {.kept = kept,
                 .rows = on.stage(std::span<const AdjustRow>(rows)),
                 .rules = on.stage(rules.all()),
                 .peaks = peaks});
}

void CudaBackend::count_logits(Stream& stream, std::span<const CountPass> passes,
                               const KeptLogits& kept, FilterBins* bins) {
  CudaStream& on = cuda_stream(stream);
  launch_count(on.handle(), static_cast<std::int64_t>(passes.size()),
               {.kept = kept, .passes = on.stage(passes), .bins = bins});
}

void CudaBackend::draw_logits(Stream& stream, std::span<const DrawPass> rows,
                              const KeptLogits& kept, Drawn* drawn) {
  CudaStream& on = cuda_stream(stream);
  RuleList rules;
  std::vector<DrawRow> draws;
  for (const DrawPass& row : rows) {
    draws.push_back({.rules = rules.add(row.plan.rules),
                     .filter = row.row,
                     .temperature = row.plan.temperature,
                     .key = row.plan.key});
  }
  launch_draw(on.handle(), static_cast<std::int64_t>(rows.size()),
              {.kept = kept,
               .rows = on.stage(std::span<const DrawRow>(draws)),
               .rules = on.stage(rules.all()),
               .drawn = drawn});
}

void CudaBackend::list_logits(Stream& stream, std::span<const FilterRow> rows,
                              const KeptLogits& kept, std::int64_t most, RankedToken* listed) {
  CudaStream& on = cuda_stream(stream);
  launch_list(on.handle(), static_cast<std::int64_t>(rows.size()),
              {.kept = kept, .rows = on.stage(rows), .most = most, .listed = listed});
}

}  // namespace gridmill::cuda
