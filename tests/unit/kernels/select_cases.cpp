#include "unit/kernels/select_cases.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>

#include "gridmill/base/format.hpp"
#include "gridmill/base/numerics.hpp"

namespace gridmill::testing {

namespace {

/// (max, sum of exp) of ids [first, end) of one row, blocks [first_block, ...) joined pairwise
/// level by level: written as the recursion that "0 with 1, 2 with 3, ..., an odd one out moves up"
/// is.
std::pair<float, float> block_sums(std::span<const float> logits) {
  float largest = logits[0];
  for (const float logit : logits) largest = std::max(largest, logit);
  std::array<float, 16> lanes{};
  for (std::size_t i = 0; i < logits.size(); ++i) lanes[i % 16] += exp_below(logits[i], largest);
  return {largest, lane_tree_sum(lanes)};
}

std::pair<float, float> joined(std::span<const std::pair<float, float>> blocks) {
  if (blocks.size() == 1) return blocks[0];
  std::size_t left = 1;  // largest power of two below the count: what the pairwise levels make
  while (2 * left < blocks.size()) left *= 2;
  std::pair<float, float> sum = joined(blocks.first(left));
  const std::pair<float, float> right = joined(blocks.subspan(left));
  join_log_sum_exp(sum.first, sum.second, right.first, right.second);
  return sum;
}

SelectPartial partial_of(std::span<const float> logits, std::int64_t first_id,
                         const SelectRow& row) {
  SelectPartial best;
  std::vector<std::pair<float, float>> blocks;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const auto id = static_cast<TokenId>(first_id + static_cast<std::int64_t>(i));
    const float score = selection_score(row.plan, id, logits[i]);
    if (best.id < 0 || wins(score, logits[i], best.score, best.logit)) {
      best.score = score;
      best.id = id;
      best.logit = logits[i];
    }
    if (std::isnan(logits[i])) best.has_nan = 1;
    if (id == row.target) {
      best.has_target = 1;
      best.target_logit = logits[i];
    }
    if (row.logprobs && i % 64 == 0) {
      blocks.push_back(block_sums(logits.subspan(i, std::min<std::size_t>(64, logits.size() - i))));
    }
  }
  if (!blocks.empty()) std::tie(best.max_logit, best.sum_exp) = joined(blocks);
  return best;
}

bool same(float a, float b) {
  return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

}  // namespace

std::string text(const SelectCase& select) {
  return fmt::format("rows {} inputs {} vocabulary {} bias {} cap {} shards {}", select.rows,
                     select.inputs, select.vocab_size, select.bias, select.soft_cap, select.shards);
}

std::vector<SelectCase> select_cases() {
  std::vector<SelectCase> cases;
  for (const bool bias : {false, true}) {
    for (const std::int64_t vocab_size : {1, 15, 63, 64, 65, 100, 512, 513, 1000, 1600, 3201}) {
      cases.push_back({.rows = 5,
                       .inputs = 7,
                       .vocab_size = vocab_size,
                       .bias = bias,
                       .soft_cap = vocab_size % 2 == 0 ? 0.0F : 2.5F,
                       .shards = 3});
    }
  }
  cases.push_back({.rows = 0, .inputs = 7, .vocab_size = 65});
  cases.push_back({.rows = 1, .inputs = 33, .vocab_size = 700});
  cases.push_back({.rows = 18, .inputs = 12, .vocab_size = 700, .soft_cap = 30.0F});
  cases.push_back({.rows = 18, .inputs = 12, .vocab_size = 709, .bias = true});
  return cases;
}

SelectData select_data(const SelectCase& select) {
  Numbers numbers(static_cast<std::uint32_t>(select.vocab_size));
  SelectData data{numbers.matrix(select.rows, select.inputs, 2.0F),
                  numbers.matrix(select.vocab_size, select.inputs),
                  {},
                  {}};
  if (select.bias) data.bias = numbers.vector(select.vocab_size);
  constexpr std::array<float, 4> kTemperatures = {0.0F, 1.0F, 0.7F, -1.3F};
  for (std::int64_t row = 0; row < select.rows; ++row) {
    const auto index = static_cast<std::uint32_t>(row);
    data.rows.push_back(
        {.plan = {.temperature = kTemperatures[index % 4],
                  .key = {.seed = 77, .prompt = index, .sample = index % 2, .position = 9 + index}},
         .target = index % 3 == 0 ? -1 : static_cast<TokenId>((row * 997) % select.vocab_size),
         .logprobs = index % 5 != 2 && index % 7 != 4});
  }
  return data;
}

std::vector<SelectPartial> run_select(TestDevice& device, const SelectCase& select,
                                      const SelectData& data, int tp_size) {
  std::vector<SelectPartial> all(static_cast<std::size_t>(select.rows * kVocabularyGroups));
  const PackedRows x = device.pack(data.x);
  const std::int64_t groups = kVocabularyGroups / tp_size;
  for (int rank = 0; rank < tp_size; ++rank) {
    const IndexRange slice = vocabulary_slice(select.vocab_size, tp_size, rank);
    Matrix part({slice.count, select.inputs});
    std::copy_n(data.head.flat().begin() + slice.first * select.inputs, part.flat().size(),
                part.flat().begin());
    const Weight w = device.weight(
        part,
        {.shape = {.outputs = slice.count, .inputs = select.inputs}, .shards = select.shards});
    ConstDeviceVector bias;
    if (!data.bias.empty()) {
      bias = device.vector(
          {data.bias.begin() + slice.first, data.bias.begin() + slice.first + slice.count});
    }
    SelectPartial* partials = device.partials(select.rows * groups);
    device.backend().select(device.stream(), x, w, bias, select.soft_cap, select.vocab_size,
                            slice.first, tp_size, data.rows, partials, {});
    const std::vector<SelectPartial> mine = device.download(partials, select.rows * groups);
    for (std::int64_t row = 0; row < select.rows; ++row) {
      std::copy_n(mine.begin() + row * groups, groups,
                  all.begin() + row * kVocabularyGroups + rank * groups);
    }
  }
  return all;
}

Matrix run_logits(TestDevice& device, const SelectCase& select, const SelectData& data) {
  const DeviceMatrix logits = device.matrix(select.rows, select.vocab_size);
  device.backend().linear(device.stream(), device.pack(data.x), device.weight(data.head),
                          device.vector(data.bias), select.soft_cap, logits);
  return device.download(logits);
}

std::vector<SelectPartial> select_from_logits(const Matrix& logits,
                                              const std::vector<SelectRow>& rows) {
  const std::int64_t vocab_size = logits.extent(1);
  const std::int64_t group_ids = vocabulary_group_ids(vocab_size);
  std::vector<SelectPartial> partials;
  for (std::int64_t row = 0; row < logits.extent(0); ++row) {
    for (int group = 0; group < kVocabularyGroups; ++group) {
      const std::int64_t first = std::min(vocab_size, group * group_ids);
      const std::int64_t end = std::min(vocab_size, first + group_ids);
      partials.push_back(partial_of(
          std::span<const float>(logits.view().row(row))
              .subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(end - first)),
          first, rows[static_cast<std::size_t>(row)]));
    }
  }
  return partials;
}

::testing::AssertionResult same_partials(const std::vector<SelectPartial>& actual,
                                         const std::vector<SelectPartial>& expected) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << "another number of partials";
  }
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const SelectPartial& a = actual[i];
    const SelectPartial& e = expected[i];
    const auto failure = [&](const char* what) {
      return ::testing::AssertionFailure() << what << " of row " << i / 8 << " group " << i % 8;
    };
    if (a.has_nan != e.has_nan) return failure("has_nan");
    if (e.has_nan != 0) continue;
    if (a.id != e.id) return failure("id");
    if (!same(a.score, e.score)) return failure("score");
    if (!same(a.logit, e.logit)) return failure("logit");
    if (a.has_target != e.has_target) return failure("has_target");
    if (!same(a.target_logit, e.target_logit)) return failure("target_logit");
    // Which of two zeros is the largest is open.
    if (a.max_logit != e.max_logit) return failure("max_logit");
    if (!same(a.sum_exp, e.sum_exp) && !(std::isnan(a.sum_exp) && std::isnan(e.sum_exp))) {
      return failure("sum_exp");
    }
  }
  return ::testing::AssertionSuccess();
}

}  // namespace gridmill::testing
