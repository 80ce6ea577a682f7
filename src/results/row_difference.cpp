#include "gridmill/results/row_difference.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <initializer_list>
#include <vector>

#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

template <typename T>
std::array<std::byte, sizeof(T)> bytes_of(const T& value) {
  return std::bit_cast<std::array<std::byte, sizeof(T)>>(value);
}

/// The first of `room` values at `offset` whose bytes are not those of `expected`, behind whose end
/// zeros are expected if `to_the_end`.
template <typename T>
std::string first_difference(const RowFile& file, std::uint64_t offset, std::size_t room,
                             std::span<const T> expected, bool to_the_end, const char* name) {
  std::vector<T> stored(to_the_end ? room : expected.size());
  if (stored.empty()) return "";
  file.read(offset, std::as_writable_bytes(std::span(stored)));
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const T value = i < expected.size() ? expected[i] : T{};
    if (bytes_of(stored[i]) != bytes_of(value)) {
      return fmt::format("{} {} is {}, expected {}", name, i, stored[i], value);
    }
  }
  return "";
}

std::string field_difference(const char* name, std::uint64_t stored, std::uint64_t expected) {
  return stored == expected ? "" : fmt::format("{} is {}, expected {}", name, stored, expected);
}

/// Difference in the two datasets of a score file that repeat the content of others.
std::string score_difference(const RowFile& file, const ResultLayout& layout,
                             const RowResult& expected) {
  const double sum = sum_of_logprobs(expected.logprobs, expected.valid);
  const auto length = static_cast<std::int32_t>(expected.tokens.size());
  const std::string of_sum = first_difference(file, layout.sum_at(expected.row), 1,
                                              std::span(&sum, 1), true, "sum_logprob");
  return of_sum.empty() ? first_difference(file, layout.length_at(expected.row), 1,
                                           std::span(&length, 1), true, "length")
                        : of_sum;
}

/// The first of several texts that is not empty.
std::string first_of(std::initializer_list<std::string> texts) {
  for (const std::string& text : texts) {
    if (!text.empty()) return text;
  }
  return "";
}

}  // namespace

std::string row_difference(const RowFile& file, const ResultLayout& layout,
                           const RowResult& expected) {
  const RowId row = expected.row;
  const std::string failure = stored_failure_text(expected.failure);
  RowResult result = expected;
  result.failure = failure;
  const RowRecord wanted = make_record(layout, result);
  const RowRecord stored = read_records(file, layout, row, 1).front();
  std::vector<TokenId> top_ids;
  std::vector<float> top_logprobs;
  split_top(result.top, top_ids, top_logprobs);
  const bool to_the_end = expected.status != RowStatus::partial;
  const std::size_t room = layout.shape.max_length;
  return first_of(
      {field_difference("status", stored.status, wanted.status),
       field_difference("prompt_index", stored.prompt_index, wanted.prompt_index),
       field_difference("sample_index", stored.sample_index, wanted.sample_index),
       field_difference("prefix_length", stored.prefix_length, wanted.prefix_length),
       first_difference(file, layout.tokens_at(row), room, result.tokens, to_the_end, "token"),
       field_difference("length", stored.length, wanted.length),
       field_difference("finish_reason", stored.finish_reason, wanted.finish_reason),
       layout.shape.logprobs == 0
           ? ""
           : first_difference(file, layout.logprobs_at(row), room, result.logprobs, to_the_end,
                              "log-probability"),
       layout.shape.top == 0
           ? ""
           : first_difference(file, layout.top_ids_at(row), layout.top_items(),
                              std::span<const TokenId>(top_ids), to_the_end, "top id"),
       layout.shape.top == 0
           ? ""
           : first_difference(file, layout.top_logprobs_at(row), layout.top_items(),
                              std::span<const float>(top_logprobs), to_the_end,
                              "top log-probability"),
       layout.shape.valid == 0
           ? ""
           : first_difference(file, layout.valid_at(row), room, result.valid, to_the_end, "valid"),
       layout.shape.scores == 0 ? "" : score_difference(file, layout, result),
       first_difference(file, layout.failure_at(row), kFailureBytes, std::span<const char>(failure),
                        to_the_end, "byte of the failure text"),
       field_difference("stop_index", stored.stop_index, wanted.stop_index),
       field_difference("flags", stored.flags, wanted.flags),
       layout.shape.vocab != 0 && stored.payload_crc != wanted.payload_crc ? "logits differ" : "",
       field_difference("payload_crc", stored.payload_crc, wanted.payload_crc),
       field_difference("row_crc", stored.row_crc, wanted.row_crc)});
}

}  // namespace gridmill
