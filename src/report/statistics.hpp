#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/results/result_file.hpp"

namespace gridmill::report_detail {

/// Counts of values in steps of equal width from 0 on; what lies behind the last step is counted
/// there.
class Distribution {
 public:
  Distribution(double step, std::size_t steps) : step_(step), counts_(steps) {}
  /// @pre value >= 0
  void add(double value);
  [[nodiscard]] std::uint64_t total() const { return total_; }
  [[nodiscard]] double mean() const;
  /// Upper end of the step in which this share of the values is reached; 0 without values.
  [[nodiscard]] double quantile(double share) const;

  struct Bin {
    double from = 0;
    double to = 0;
    std::uint64_t count = 0;
  };
  /// At most so many bins of one round width, from the first to the last step that has values; but
  /// those above `share` of all values share the last bin.
  [[nodiscard]] std::vector<Bin> bins(std::size_t most, double share = 1.0) const;

 private:
  double step_;
  std::vector<std::uint64_t> counts_;
  std::uint64_t total_ = 0;
  double sum_ = 0;
};

/// Failures whose reasons differ in numbers only.
struct FailureGroup {
  std::string reason;  ///< numbers replaced by N
  std::uint64_t count = 0;
  struct Example {
    RowId row = 0;
    std::string text;
  };
  std::vector<Example> examples;  ///< the first three
};

/// How rows are sampled: from each of these, so that rare ones are seen.
enum class Stratum : std::uint8_t { eod, stop, length, failed };
inline constexpr std::size_t kStrata = 4;
[[nodiscard]] const char* name_of(Stratum stratum);

/// Results of one pass over a result file.
struct Statistics {
  std::uint64_t rows = 0;
  std::uint64_t done = 0, failed = 0, partial = 0, damaged = 0;
  std::array<std::uint64_t, kStrata> strata{};  ///< finished rows
  std::uint64_t prompt_tokens = 0;              ///< of done rows
  std::uint64_t new_tokens = 0;
  Distribution prompt_lengths;
  Distribution new_lengths;
  Distribution negative_logprobs;      ///< of new tokens of done rows
  std::vector<FailureGroup> failures;  ///< most frequent first
  std::uint64_t other_failures = 0;    ///< of reasons that found no place among them
  std::vector<RowId> sample;           ///< sorted

  [[nodiscard]] std::uint64_t finished() const { return done + failed; }
};

/// Reads every record, failure text and log-probability once. Memory does not grow with the rows.
/// @param sample_rows  at most so many rows are sampled: equal shares of the strata, the same ones
/// every time, neighbouring samples of a prompt together.
/// @throws IoError, FormatError
[[nodiscard]] Statistics collect_statistics(const ResultFile& file, std::uint32_t sample_rows);

}  // namespace gridmill::report_detail
