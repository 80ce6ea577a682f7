#include <algorithm>
#include <array>
#include <tuple>
#include <utility>
#include <vector>

#include "gridmill/sampling/temperature.hpp"
#include "job/lockstep_batch_detail.hpp"
#include "job/regenerate_detail.hpp"

namespace gridmill::job_detail {

namespace {

/// The rows of one fsdp group of one batch: they left the loop together, so they are generated
/// together.
struct FormerGroup {
  std::uint64_t batch = 0;
  std::uint64_t dp = 0;
};

/// Draws for the rows of a former fsdp group as its ranks did, each from its own key.
class FormerShards {
 public:
  FormerShards(const JaxRandom& random, std::uint64_t first_shard, int shards, float temperature)
      : layout_(random.layout), temperature_(temperature) {
    for (int i = 0; i < shards; ++i) {
      keys_.push_back(fold_in(
          random.key, static_cast<std::uint32_t>(first_shard) + static_cast<std::uint32_t>(i)));
    }
  }

  std::vector<TokenId> operator()(TensorView<const float, 2> logits, const StepRandom& step) {
    std::vector<JaxKey> now(keys_.size());
    // A key is split once a column, also where no sampler was called.
    for (; splits_ < step.positions.front(); ++splits_) {
      for (std::size_t i = 0; i < keys_.size(); ++i) {
        std::tie(now[i], keys_[i]) = split(keys_[i], layout_);
      }
    }
    const std::int64_t local = logits.extent(0) / static_cast<std::int64_t>(keys_.size());
    std::vector<TokenId> tokens;
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const TensorView<const float, 2> own(
          logits.data() + static_cast<std::int64_t>(i) * local * logits.extent(1),
          {local, logits.extent(1)});
      const std::vector<TokenId> drawn = temperature_sampling(own, now[i], temperature_, layout_);
      tokens.insert(tokens.end(), drawn.begin(), drawn.end());
    }
    return tokens;
  }

 private:
  ThreefryLayout layout_;
  float temperature_;
  std::vector<JaxKey> keys_;
  std::uint32_t splits_ = 0;
};

/// Groups that hold one of `rows`, which ascend.
std::vector<FormerGroup> groups_of(std::span<const RowId> rows, const BatchCut& cut,
                                   std::uint64_t group_rows) {
  std::vector<FormerGroup> groups;
  for (const RowId row : rows) {
    const FormerGroup group{.batch = row / cut.batch, .dp = row % cut.batch / group_rows};
    if (groups.empty() || groups.back().batch != group.batch || groups.back().dp != group.dp) {
      groups.push_back(group);
    }
  }
  return groups;
}

}  // namespace

void regenerate_lockstep_rows(const RegenerationJob& job, const GridShape& grid,
                              std::span<const RowId> rows, const RegeneratedRow& take) {
  RunContext& context = job.context;
  const GridShape now = context.grid().shape();
  const GridCoord coord = context.grid().coord();
  const BatchCut cut = cut_batches(job.config, job.prompts.count(), grid);
  const std::uint64_t group_rows = cut.local * static_cast<std::uint64_t>(grid.fsdp);
  const std::vector<FormerGroup> groups = groups_of(rows, cut, group_rows);
  // Where layers are gathered in the loop, the ranks of an fsdp group of now stay in step by doing
  // the same.
  const bool same_work = context.lock_step();
  const int worker = same_work ? coord.dp : coord.dp * now.fsdp + coord.fsdp;
  const int workers = same_work ? now.dp : now.dp * now.fsdp;
  const bool takes = context.is_leader() && (!same_work || coord.fsdp == 0);
  for (auto i = static_cast<std::size_t>(worker); i < groups.size();
       i += static_cast<std::size_t>(workers)) {
    const std::uint64_t first_shard = groups[i].dp * static_cast<std::uint64_t>(grid.fsdp);
    const std::uint64_t first = cut.first_row(groups[i].batch, first_shard);
    const PrefixMatrix prefix = job.prompts.prefix_rows(first, group_rows);
    const std::array<std::int64_t, 2> extents = {static_cast<std::int64_t>(prefix.rows),
                                                 static_cast<std::int64_t>(prefix.columns)};
    GenerateTokensOptions options;
    options.prefix_mask = TensorView<const std::uint8_t, 2>(prefix.given.data(), extents);
    options.max_length = job.plan.max_length;
    options.eod_token_id =
        job.plan.limits.eod_token_ids.empty() ? -1 : job.plan.limits.eod_token_ids.front();
    options.gather_params_once = context.options().gather_params_once;
    RandomSource random = philox_random_of(job.config, first);
    options.token_sample_fn = sampler_of(job.config);
    if (job.config.lockstep.rng == "jax" && job.config.sampling.temperature != 0.0F) {
      options.token_sample_fn =
          FormerShards(jax_random_of(job.config, groups[i].batch), first_shard, grid.fsdp,
                       job.config.sampling.temperature);
    }
    const GeneratedBatch batch = generate_tokens(
        context.generation_state(), random,
        TensorView<const TokenId, 2>(prefix.tokens.data(), extents), std::move(options));
    for (std::uint64_t local = 0; takes && local < group_rows; ++local) {
      if (!std::binary_search(rows.begin(), rows.end(), first + local)) continue;
      take(result_of(first + local, batch, static_cast<std::int64_t>(local),
                     std::span(prefix.given).subspan(local * prefix.columns, prefix.columns),
                     job.plan));
    }
  }
}

}  // namespace gridmill::job_detail
