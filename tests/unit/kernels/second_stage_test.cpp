#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "gridmill/sampling/choose_token.hpp"
#include "unit/kernels/candidate_test.hpp"

// Rows with filters and penalties: the second stage of every backend against choose_token(), on
// vocabularies cut into the slices of tp ranks.
namespace gridmill::testing {
namespace {

/// A row of the test: its logits, and how it is sampled.
struct Row {
  std::string name;
  std::vector<float> logits;
  SamplingPlan plan;
  std::vector<TokenRule> rules{};

  [[nodiscard]] SamplingPlan whole_plan() const {
    SamplingPlan whole = plan;
    whole.rules.tokens = rules;
    return whole;
  }
};

std::vector<Row> rows_of(std::int64_t vocab_size) {
  Numbers numbers(static_cast<std::uint32_t>(vocab_size));
  const auto size = static_cast<std::size_t>(vocab_size);
  std::vector<float> spread = numbers.vector(vocab_size, 4.0F);
  std::vector<float> ties = spread;  // few different values, as bf16 logits have
  for (float& x : ties) x = static_cast<float>(static_cast<int>(x));
  const std::vector<float> flat(size, -1.5F);
  std::vector<float> infinite = spread;
  infinite[size / 2] = std::numeric_limits<float>::infinity();
  infinite[size / 3] = -std::numeric_limits<float>::infinity();
  infinite.back() = std::numeric_limits<float>::infinity();
  const std::vector<SamplingPlan> plans = {
      {.temperature = 1, .key = {.seed = 1, .position = 3}, .top_k = 5},
      {.temperature = 0.7F, .key = {.seed = 2, .prompt = 4, .position = 3}, .top_p = 0.9},
      {.temperature = 1.3F, .key = {.seed = 3, .sample = 2}, .min_p = 0.02},
      {.temperature = 1, .key = {.seed = 4}, .min_p = 0.001, .top_k = 40, .top_p = 0.8},
      {.temperature = 1, .key = {.seed = 4}, .top_k = 50, .top_p = 0.95},
      {.temperature = 1e-37F, .key = {.seed = 5}, .top_p = 0.5},
      {.temperature = 50, .key = {.seed = 6}, .top_k = 1'000'000, .top_p = 0.999},
      {.temperature = 0, .key = {}}};
  std::vector<Row> rows;
  for (std::size_t p = 0; p < plans.size(); ++p) {
    const std::string name = " plan " + std::to_string(p);
    rows.push_back({"spread" + name, spread, plans[p]});
    rows.push_back({"ties" + name, ties, plans[p]});
    rows.push_back({"flat" + name, flat, plans[p]});
    rows.push_back({"infinite" + name, infinite, plans[p]});
  }
  for (std::size_t r = 0; r < rows.size(); r += 3) {
    Row& row = rows[r];
    row.plan.rules.repetition = 1.3F;
    row.plan.rules.frequency = 0.25F;
    row.plan.rules.presence = -0.5F;
    row.plan.rules.only_allowed = r % 2 == 1 && size > 20;
    row.plan.rules.forbid_ends = r % 4 == 0;
    for (std::size_t id = r % 5; id < size; id += 7) {
      TokenRule rule;
      rule.id = static_cast<TokenId>(id);
      rule.bias = id % 3 == 0 ? 0.75F : 0.0F;
      rule.banned = id % 11 == 1;
      rule.allowed = id % 2 == 0;
      rule.ends = id % 13 == 2;
      rule.seen = id % 4 != 3;
      rule.count = rule.seen ? static_cast<std::int32_t>(id % 3) : 0;
      row.rules.push_back(rule);
    }
  }
  return rows;
}

class SecondStage : public CandidateTest {
 protected:
  /// One slice of the vocabulary, with the logits of all rows.
  struct Slice {
    KeptLogits kept;
  };

  std::vector<Slice> slices(const std::vector<Row>& rows, std::int64_t vocab_size, int tp_size) {
    std::vector<Slice> all;
    const auto count = static_cast<std::int64_t>(rows.size());
    std::int64_t rules = 0;
    for (const Row& row : rows) rules += static_cast<std::int64_t>(row.rules.size());
    for (int rank = 0; rank < tp_size; ++rank) {
      const IndexRange ids = vocabulary_slice(vocab_size, tp_size, rank);
      Matrix logits({count, ids.count});
      for (std::int64_t row = 0; row < count; ++row) {
        const std::vector<float>& from = rows[static_cast<std::size_t>(row)].logits;
        std::copy_n(from.begin() + ids.first, ids.count, logits.view().row(row).begin());
      }
      Slice slice;
      slice.kept.logits = device().matrix(logits);
      slice.kept.first_id = ids.first;
      slice.kept.block_keys =
          device().values<std::uint32_t>(std::max<std::int64_t>(1, count * slice.kept.blocks()));
      slice.kept.rule_logits = device().values<float>(std::max<std::int64_t>(1, rules));
      all.push_back(slice);
    }
    return all;
  }

  template <typename T, typename Operation>
  std::vector<T> results(std::int64_t count, const Operation& operation) {
    T* memory = device().values<T>(count);
    operation(memory);
    return device().download_values(memory, count);
  }

  std::vector<FilterRow> search(const std::vector<Slice>& slices,
                                std::vector<FilterSearch>& searches) {
    while (true) {
      std::vector<CountPass> passes;
      for (std::size_t row = 0; row < searches.size(); ++row) {
        if (searches[row].done()) continue;
        passes.push_back(searches[row].pass());
        passes.back().index = static_cast<std::int32_t>(row);
      }
      if (passes.empty()) break;
      std::vector<FilterBins> sums(passes.size());
      for (const Slice& slice : slices) {
        const auto bins =
            results<FilterBins>(static_cast<std::int64_t>(passes.size()), [&](FilterBins* out) {
              device().backend().count_logits(device().stream(), passes, slice.kept, out);
            });
        for (std::size_t i = 0; i < sums.size(); ++i) sums[i].add(bins[i]);
      }
      for (std::size_t i = 0; i < passes.size(); ++i) {
        searches[static_cast<std::size_t>(passes[i].index)].take(sums[i]);
      }
    }
    std::vector<FilterRow> kept;
    for (const FilterSearch& one : searches) kept.push_back(one.kept());
    return kept;
  }
};

TEST_P(SecondStage, DrawsWhatTheDefinitionDraws) {
  for (const std::int64_t vocab_size : {40, 513, 3000}) {
    for (const int tp_size : {1, 4}) {
      const std::vector<Row> rows = rows_of(vocab_size);
      const auto count = static_cast<std::int64_t>(rows.size());
      const std::vector<Slice> parts = slices(rows, vocab_size, tp_size);
      std::vector<SamplingPlan> plans;
      for (const Row& row : rows) plans.push_back(row.whole_plan());
      std::vector<LogitPeak> peaks(rows.size());
      for (const Slice& part : parts) {
        const auto of_part = results<LogitPeak>(count, [&](LogitPeak* out) {
          device().backend().adjust_logits(device().stream(), plans, part.kept, out);
        });
        for (std::size_t i = 0; i < peaks.size(); ++i) peaks[i].add(of_part[i]);
      }
      std::vector<FilterSearch> searches;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        searches.emplace_back(plans[i], vocab_size, peaks[i]);
      }
      const std::vector<FilterRow> kept = search(parts, searches);
      std::vector<DrawPass> passes;
      for (std::size_t i = 0; i < rows.size(); ++i) passes.push_back({plans[i], kept[i]});
      std::vector<Drawn> drawn(rows.size());
      for (const Slice& part : parts) {
        const auto of_part = results<Drawn>(count, [&](Drawn* out) {
          device().backend().draw_logits(device().stream(), passes, part.kept, out);
        });
        for (std::size_t i = 0; i < drawn.size(); ++i) take_better(drawn[i], of_part[i]);
      }
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const ChosenToken expected = choose_token(rows[i].logits, plans[i]);
        const std::string where =
            rows[i].name + " of " + std::to_string(vocab_size) + " tp " + std::to_string(tp_size);
        std::vector<TokenId> ids;
        for (TokenId id = 0; id < vocab_size; ++id) {
          if (is_kept(kept[i], id, expected.adjusted[static_cast<std::size_t>(id)])) {
            ids.push_back(id);
          }
        }
        if (plans[i].temperature != 0) {
          EXPECT_EQ(ids, expected.kept) << where;
        }
        ASSERT_EQ(drawn[i].id, expected.id) << where;
        if (expected.id < 0) continue;
        const auto at = static_cast<std::size_t>(expected.id);
        EXPECT_EQ(drawn[i].x, expected.adjusted[at]) << where;
        EXPECT_EQ(drawn[i].logit, rows[i].logits[at]) << where;
      }
    }
  }
}

TEST_P(SecondStage, ListsTheMostLikelyTokens) {
  const std::int64_t vocab_size = 700;
  const std::int32_t most = 9;
  const std::vector<Row> rows = rows_of(vocab_size);
  const auto count = static_cast<std::int64_t>(rows.size());
  const std::vector<Slice> parts = slices(rows, vocab_size, 2);
  const std::vector<SamplingPlan> plans(rows.size());
  std::vector<LogitPeak> peaks(rows.size());
  for (const Slice& part : parts) {
    const auto of_part = results<LogitPeak>(count, [&](LogitPeak* out) {
      device().backend().adjust_logits(device().stream(), plans, part.kept, out);
    });
    for (std::size_t i = 0; i < peaks.size(); ++i) peaks[i].add(of_part[i]);
  }
  std::vector<FilterSearch> searches;
  for (const LogitPeak& peak : peaks) {
    searches.push_back(FilterSearch::most_likely(most, vocab_size, peak));
  }
  const std::vector<FilterRow> kept = search(parts, searches);
  std::vector<std::vector<RankedToken>> listed(rows.size());
  for (const Slice& part : parts) {
    const auto of_part = results<RankedToken>(count * most, [&](RankedToken* out) {
      device().backend().list_logits(device().stream(), kept, part.kept, most, out);
    });
    for (std::size_t i = 0; i < of_part.size(); ++i) {
      if (of_part[i].id >= 0) listed[i / most].push_back(of_part[i]);
    }
  }
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::vector<RankedToken> expected = most_likely_tokens(rows[i].logits, most);
    const auto by_id = [](const RankedToken& a, const RankedToken& b) { return a.id < b.id; };
    std::sort(expected.begin(), expected.end(), by_id);
    std::sort(listed[i].begin(), listed[i].end(), by_id);
    EXPECT_EQ(listed[i], expected) << rows[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SecondStage, ::testing::ValuesIn(all_candidates()), test_name);

}  // namespace
}  // namespace gridmill::testing
