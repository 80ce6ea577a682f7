#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/results/result_file.hpp"
#include "report/row_texts.hpp"

namespace gridmill::report_detail {

/// Bytes that texts of the sample may take in a page: what is left of 3 MB beside everything else.
inline constexpr std::size_t kSampleBytes = 2'700'000;

/// The rows of the sample with their prompts, as the script of the page reads them:
/// `{"prompts": [{"prompt", "text" or "chat"}], "rows": [{"row", "prompt" (index above),
/// "sample", "reason", "tokens", "mean", "text", "lengths", "logprobs", "failure", "cut"}]}`.
/// Where they have more than `most_bytes`, the longest texts are cut, and say so.
/// @param rows  finished ones; damaged ones are left out.
/// @throws IoError
[[nodiscard]] OrderedJson sample_of(const ResultFile& file, const RowTexts& texts,
                                    std::span<const RowId> rows, std::size_t most_bytes);

/// UTF-16 code units of well-formed UTF-8: what JavaScript counts.
[[nodiscard]] std::size_t utf16_length(std::string_view text);
/// Lengths, a digit of base 64 each: 63 adds 63 and goes on with the next digit.
[[nodiscard]] std::string packed_lengths(std::span<const std::size_t> lengths);
/// Log-probabilities, a digit of base 64 each: round(63/4 sqrt(-logprob)), so 0 to -16.
[[nodiscard]] std::string packed_logprobs(std::span<const float> logprobs);

/// The longest length c so that the sum of min(size, c) is at most `budget`.
[[nodiscard]] std::size_t fair_limit(std::span<const std::size_t> sizes, std::size_t budget);

}  // namespace gridmill::report_detail
