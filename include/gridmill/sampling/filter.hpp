#pragma once

#include <array>
#include <cstdint>
#include <limits>

#include "gridmill/base/ids.hpp"
#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {

/// Unsigned keys in the order of logits: larger logits have larger keys. Zeros and subnormal
/// numbers, which some backends count as zeros, have the same one.
[[nodiscard]] std::uint32_t order_key(float x);
/// The key of -inf; only forbidden ids (and NaNs, which are never selected from) are not above it.
inline constexpr std::uint32_t kForbiddenKey = 0x007FFFFFU;

/// exp(y - max_y) of an id whose adjusted logit is `x`, y = x / temperature; 1 where y is the
/// maximum, also an infinite one; 0 for a forbidden id.
[[nodiscard]] float relative_power(float x, float temperature, float max_y);
/// The power as an integer: times 2^44, to nearest even. Sums of them are exact in any order.
[[nodiscard]] std::uint64_t power_weight(float power);
/// Vocabularies up to here have sums below 2^63.
inline constexpr std::int64_t kMostTopPVocabulary = 524'288;
/// max(1, floor(p * total)), exact.
[[nodiscard]] std::uint64_t top_p_target(double p, std::uint64_t total);

/// Ids from the front of the order (adjusted logit descending, then id ascending).
struct KeptSet {
  /// The smallest key in the set ...
  std::uint32_t key = kForbiddenKey + 1;
  /// ... and of the ids that have it the last one.
  TokenId last_id = std::numeric_limits<TokenId>::max();

  [[nodiscard]] bool contains(std::uint32_t id_key, TokenId id) const {
    return id_key > key || (id_key == key && id <= last_id);
  }
  bool operator==(const KeptSet& other) const = default;
};

/// Known properties of a row's adjusted logits before the first pass. Those of disjoint sets of ids
/// add up. Trivially copyable.
struct LogitPeak {
  /// The largest; -inf if every id is forbidden.
  float max = -std::numeric_limits<float>::infinity();
  /// With top-k and without min-p: a key that at least k ids reach; 0 = none is known.
  std::uint32_t floor_key = 0;
  void add(const LogitPeak& other);
};

/// Inputs of every pass over the logits of a row. Trivially copyable.
struct FilterRow {
  float temperature = 1;
  /// The largest adjusted logit / temperature.
  float max_y = 0;
  /// Ids below this power are not kept; 0 = all are.
  double min_p = 0;
  KeptSet within;
};

/// Whether `id` is kept, so far.
[[nodiscard]] bool is_kept(const FilterRow& row, TokenId id, float x);

/// One pass of counters: kept ids, sorted by a digit of 8 bits.
struct CountPass {
  FilterRow row;
  /// Whose logits are counted, among those that are kept (kernels/kept_logits.hpp).
  std::int32_t index = 0;
  /// Digits of ids, among those whose key is row.within.key; else digits of keys.
  bool on_ids = false;
  /// Sum the weights, too.
  bool weights = false;
  /// Lowest bit of the digit.
  int shift = 24;
  /// Counted is what agrees with this above the digit.
  std::uint32_t prefix = 0;
};

inline constexpr int kFilterBins = 256;

/// The counters of a pass. Those of disjoint sets of ids add up. Trivially copyable.
struct FilterBins {
  std::array<std::uint64_t, kFilterBins> weights{};
  std::array<std::uint32_t, kFilterBins> counts{};
  void add(const FilterBins& other);
};

/// Adds one id to the counters, if the pass counts it.
void count_token(const CountPass& pass, TokenId id, float x, FilterBins& bins);

/// Finds the ids that top-k and top-p keep, in passes of counters: two digits at least, eight and
/// the ids of ties at most. A search by digits needs no sort, and its sums are exact.
class FilterSearch {
 public:
  FilterSearch(const SamplingPlan& plan, std::int64_t vocab_size, const LogitPeak& peak);

  /// The `count` likeliest ids, those with a logit of -inf among them.
  [[nodiscard]] static FilterSearch most_likely(std::int32_t count, std::int64_t vocab_size,
                                                const LogitPeak& peak);

  /// Nothing is left to count; kept() is known.
  [[nodiscard]] bool done() const { return stage_ == Stage::done; }
  [[nodiscard]] const CountPass& pass() const { return pass_; }
  /// Takes the counters of pass() over the whole vocabulary.
  void take(const FilterBins& bins);
  [[nodiscard]] const FilterRow& kept() const { return pass_.row; }

 private:
  enum class Stage : std::uint8_t { top_k, top_p, done };
  void begin(Stage stage);
  void finish_stage();
  void descend_keys(const FilterBins& bins);
  void descend_ids(const FilterBins& bins);
  void begin_ids(std::uint64_t ids);

  Stage stage_ = Stage::done;
  std::uint64_t top_k_ = 0;
  double top_p_ = 1;
  int id_shift_ = 0;
  CountPass pass_;
  bool first_pass_ = true;
  /// Ids, or weight, that the set has to hold ...
  std::uint64_t wanted_ = 0;
  /// ... of which this much lies above the prefix.
  std::uint64_t above_ = 0;
};

/// The best of some ids. Trivially copyable.
struct Drawn {
  float score = 0;
  /// Adjusted logit.
  float x = 0;
  /// The model's.
  float logit = 0;
  /// -1 = no id is allowed.
  TokenId id = -1;
};

/// Replaces `best` by `other`, a token of higher ids, if that wins.
void take_better(Drawn& best, const Drawn& other);

}  // namespace gridmill
