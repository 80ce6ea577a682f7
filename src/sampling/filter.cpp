#include "gridmill/sampling/filter.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>

#include "gridmill/base/check.hpp"
#include "gridmill/base/numerics.hpp"

namespace gridmill {

std::uint32_t order_key(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7F800000U) == 0) return 0x80000000U;
  return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
}

float relative_power(float x, float temperature, float max_y) {
  if (order_key(x) <= kForbiddenKey) return 0;
  const float y = x / temperature;
  return y == max_y ? 1.0F : exp_f32(y - max_y);
}

std::uint64_t power_weight(float power) {
  // A double of 2^52 and more is a whole number: the sum rounds to nearest even.
  constexpr double kRounder = 0x1.8p52;
  return std::bit_cast<std::uint64_t>(static_cast<double>(power) * 0x1p44 + kRounder) -
         std::bit_cast<std::uint64_t>(kRounder);
}

std::uint64_t top_p_target(double p, std::uint64_t total) {
  int exponent = 0;
  const double fraction = std::frexp(p, &exponent);  // p = fraction * 2^exponent, in [1/2, 1)
  const auto mantissa = static_cast<std::uint64_t>(std::ldexp(fraction, 53));
  // total * mantissa as two words, then shifted right by at least 52.
  const std::uint64_t low = total * mantissa;
  const std::uint64_t low_low = (total & 0xFFFFFFFFU) * (mantissa & 0xFFFFFFFFU);
  const std::uint64_t low_high = (total & 0xFFFFFFFFU) * (mantissa >> 32);
  const std::uint64_t high_low = (total >> 32) * (mantissa & 0xFFFFFFFFU);
  const std::uint64_t high_high = (total >> 32) * (mantissa >> 32);
  const std::uint64_t middle =
      (low_low >> 32) + (low_high & 0xFFFFFFFFU) + (high_low & 0xFFFFFFFFU);
  const std::uint64_t high = high_high + (low_high >> 32) + (high_low >> 32) + (middle >> 32);
  const int shift = 53 - exponent;
  std::uint64_t product = 0;
  if (shift < 64) {
    product = (high << (64 - shift)) | (low >> shift);
  } else if (shift < 128) {
    product = high >> (shift - 64);
  }
  return std::max<std::uint64_t>(1, product);
}

bool is_kept(const FilterRow& row, TokenId id, float x) {
  if (!row.within.contains(order_key(x), id)) return false;
  if (row.min_p == 0) return true;
  return static_cast<double>(relative_power(x, row.temperature, row.max_y)) >= row.min_p;
}

void LogitPeak::add(const LogitPeak& other) {
  if (other.max > max) max = other.max;
  floor_key = std::max(floor_key, other.floor_key);
}

void FilterBins::add(const FilterBins& other) {
  for (std::size_t bin = 0; bin < counts.size(); ++bin) {
    weights[bin] += other.weights[bin];
    counts[bin] += other.counts[bin];
  }
}

void count_token(const CountPass& pass, TokenId id, float x, FilterBins& bins) {
  const std::uint32_t key = order_key(x);
  if (!is_kept(pass.row, id, x)) return;
  if (pass.on_ids && key != pass.row.within.key) return;
  const std::uint32_t number = pass.on_ids ? static_cast<std::uint32_t>(id) : key;
  // Two shifts: one of 32 is undefined.
  if ((number ^ pass.prefix) >> pass.shift >> 8 != 0) return;
  const std::size_t bin = (number >> pass.shift) & 0xFFU;
  ++bins.counts[bin];
  if (pass.weights) {
    bins.weights[bin] += power_weight(relative_power(x, pass.row.temperature, pass.row.max_y));
  }
}

FilterSearch::FilterSearch(const SamplingPlan& plan, std::int64_t vocab_size,
                           const LogitPeak& peak) {
  while (vocab_size >> id_shift_ >> 8 != 0) id_shift_ += 8;
  pass_.row.temperature = plan.temperature;
  if (!plan.filters()) return;
  pass_.row.max_y = peak.max / plan.temperature;
  pass_.row.within.key = std::max(pass_.row.within.key, peak.floor_key);
  pass_.row.min_p = plan.min_p;
  if (plan.top_k < vocab_size) top_k_ = static_cast<std::uint64_t>(plan.top_k);
  top_p_ = plan.top_p;
  begin(top_k_ > 0 ? Stage::top_k : top_p_ < 1 ? Stage::top_p : Stage::done);
}

FilterSearch FilterSearch::most_likely(std::int32_t count, std::int64_t vocab_size,
                                       const LogitPeak& peak) {
  SamplingPlan plan;
  plan.top_k = count;
  FilterSearch search(plan, vocab_size, peak);
  search.pass_.row.within.key = std::max(kForbiddenKey, peak.floor_key);
  return search;
}

void FilterSearch::begin(Stage stage) {
  stage_ = stage;
  pass_.on_ids = false;
  pass_.weights = stage == Stage::top_p;
  pass_.shift = 24;
  pass_.prefix = 0;
  first_pass_ = true;
  above_ = 0;
}

void FilterSearch::finish_stage() {
  begin(stage_ == Stage::top_k && top_p_ < 1 ? Stage::top_p : Stage::done);
}

void FilterSearch::take(const FilterBins& bins) {
  GRIDMILL_ASSERT(!done(), "nothing is left to count");
  if (pass_.on_ids) {
    descend_ids(bins);
    return;
  }
  if (first_pass_) {
    first_pass_ = false;
    std::uint64_t total = 0;
    for (std::size_t bin = 0; bin < bins.counts.size(); ++bin) {
      total += stage_ == Stage::top_k ? bins.counts[bin] : bins.weights[bin];
    }
    wanted_ = stage_ == Stage::top_k ? top_k_ : top_p_target(top_p_, total);
    // Fewer ids than k, or no id at all: everything stays.
    if (total <= wanted_ && (stage_ == Stage::top_k || total == 0)) {
      finish_stage();
      return;
    }
  }
  descend_keys(bins);
}

void FilterSearch::descend_keys(const FilterBins& bins) {
  std::size_t bin = bins.counts.size() - 1;
  const auto amount = [&] { return stage_ == Stage::top_k ? bins.counts[bin] : bins.weights[bin]; };
  for (; above_ + amount() < wanted_; --bin) {
    above_ += amount();
    GRIDMILL_ASSERT(bin > 0, "the counters hold less than their total");
  }
  pass_.prefix |= static_cast<std::uint32_t>(bin) << pass_.shift;
  const std::uint64_t ids = bins.counts[bin];
  const bool all_of_it = ids == 1 || above_ + amount() == wanted_;
  if (pass_.shift > 0 && !all_of_it) {
    pass_.shift -= 8;
    return;
  }
  // Everything above the prefix is in the set, and all of the bin or, of a single key, some ids.
  std::uint64_t needed = ids;
  if (!all_of_it) {
    needed = wanted_ - above_;
    if (stage_ == Stage::top_p) {
      const std::uint64_t weight = amount() / ids;  // equal logits have equal weights
      needed = (needed + weight - 1) / weight;
    }
  }
  if (pass_.prefix > pass_.row.within.key) {
    pass_.row.within = {pass_.prefix, std::numeric_limits<TokenId>::max()};
  }
  if (needed < ids) {
    begin_ids(needed);
  } else {
    finish_stage();
  }
}

void FilterSearch::begin_ids(std::uint64_t ids) {
  pass_.on_ids = true;
  pass_.weights = false;
  pass_.shift = id_shift_;
  pass_.prefix = 0;
  wanted_ = ids;
  above_ = 0;
}

void FilterSearch::descend_ids(const FilterBins& bins) {
  std::size_t bin = 0;
  for (; above_ + bins.counts[bin] < wanted_; ++bin) {
    above_ += bins.counts[bin];
    GRIDMILL_ASSERT(bin + 1 < bins.counts.size(), "the counters hold less than their total");
  }
  pass_.prefix |= static_cast<std::uint32_t>(bin) << pass_.shift;
  if (pass_.shift > 0) {
    pass_.shift -= 8;
    return;
  }
  pass_.row.within.last_id = static_cast<TokenId>(pass_.prefix);
  finish_stage();
}

void take_better(Drawn& best, const Drawn& other) {
  if (other.id < 0) return;
  if (best.id < 0 || wins(other.score, other.x, best.score, best.x)) best = other;
}

}  // namespace gridmill
