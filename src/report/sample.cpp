#include "report/sample.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "gridmill/base/error.hpp"
#include "report/markup.hpp"
#include "report/statistics.hpp"

namespace gridmill::report_detail {

namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// More tokens of a row than any budget shows.
constexpr std::size_t kMostTokens = 200'000;

std::size_t size_of(const OrderedJson& entry) { return script_json(entry).size(); }

/// A row of the sample before its text is cut.
// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct Entry {
  OrderedJson fields;
  RowText text;
  std::vector<float> logprobs;  ///< of the new tokens, or none
  std::size_t new_tokens = 0;
};

const char* reason_of(const RowRecord& record) {
  if (record.status == static_cast<std::uint16_t>(RowStatus::failed)) return "failed";
  switch (static_cast<FinishReason>(record.finish_reason)) {
    case FinishReason::stop:
      return name_of(Stratum::stop);
    case FinishReason::length:
      return name_of(Stratum::length);
    default:
      return name_of(Stratum::eod);
  }
}

/// Mean over the new tokens; nothing without finite ones.
std::optional<double> mean_of(std::span<const float> logprobs) {
  double sum = 0;
  std::size_t count = 0;
  for (const float value : logprobs) {
    if (!std::isfinite(value)) continue;
    sum += value;
    ++count;
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

Entry entry_of(RowId row, std::size_t prompt, const StoredRow& stored, const ResultLayout& layout,
               const RowTexts& texts) {
  const bool failed = stored.record.status == static_cast<std::uint16_t>(RowStatus::failed);
  Entry entry;
  entry.new_tokens = stored.record.length - stored.record.prefix_length;
  if (!stored.logprobs.empty() && !failed) {
    entry.logprobs.assign(
        stored.logprobs.begin() + static_cast<std::ptrdiff_t>(stored.record.prefix_length),
        stored.logprobs.end());
  }
  if (!failed) entry.text = texts.text_of(stored, kMostTokens);
  const std::optional<double> mean =
      mean_of(failed ? std::vector<float>() : own_logprobs(layout, stored));
  entry.fields = {{"row", row},
                  {"prompt", prompt},
                  {"sample", stored.record.sample_index},
                  {"reason", reason_of(stored.record)},
                  {"tokens", entry.new_tokens},
                  {"mean", mean ? OrderedJson(std::round(*mean * 1000) / 1000) : OrderedJson()}};
  if (failed) entry.fields["failure"] = stored.failure;
  return entry;
}

/// With the first `tokens` tokens of its text.
OrderedJson written(const Entry& entry, std::size_t tokens) {
  OrderedJson fields = entry.fields;
  std::vector<std::size_t> lengths;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < tokens; ++i) {
    lengths.push_back(
        utf16_length(std::string_view(entry.text.text).substr(bytes, entry.text.bytes[i])));
    bytes += entry.text.bytes[i];
  }
  fields["text"] = entry.text.text.substr(0, bytes);
  if (!entry.logprobs.empty()) {
    fields["lengths"] = packed_lengths(lengths);
    fields["logprobs"] = packed_logprobs(std::span(entry.logprobs).first(tokens));
  }
  if (tokens < entry.new_tokens) fields["cut"] = entry.new_tokens - tokens;
  return fields;
}

/// As many tokens as `most_bytes` have room for.
OrderedJson written_within(const Entry& entry, std::size_t most_bytes) {
  std::size_t tokens = entry.text.bytes.size();
  for (;;) {
    OrderedJson fields = written(entry, tokens);
    const std::size_t size = size_of(fields);
    if (size <= most_bytes || tokens == 0) return fields;
    // Bytes are spread evenly enough over the tokens for a few rounds to be enough.
    tokens = std::min(tokens - 1, tokens * most_bytes / size);
  }
}

OrderedJson written(PromptId prompt, const PromptText& text) {
  OrderedJson entry = {{"prompt", prompt}};
  if (text.chat.empty()) {
    entry["text"] = text.text;
  } else {
    for (const auto& [role, content] : text.chat) entry["chat"].push_back({role, content});
  }
  return entry;
}

/// The end of a long text goes; of a chat the end of each long message.
OrderedJson written_within(PromptId prompt, PromptText text, std::size_t most_bytes) {
  for (std::size_t limit = most_bytes;; limit /= 2) {
    OrderedJson entry = written(prompt, text);
    if (size_of(entry) <= most_bytes || limit == 0) return entry;
    if (text.chat.empty()) {
      text.text.resize(whole_characters(text.text, limit));
    } else {
      for (auto& [role, content] : text.chat) {
        role = shortened(role, limit);
        content = shortened(content, limit);
      }
    }
    if (text.chat.empty()) text.text += "…";
  }
}

}  // namespace

std::size_t utf16_length(std::string_view text) {
  std::size_t units = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0U) != 0x80U) ++units;  // a character begins
    if (byte >= 0xF0U) ++units;            // outside of the basic plane: two units
  }
  return units;
}

std::string packed_lengths(std::span<const std::size_t> lengths) {
  std::string out;
  for (std::size_t length : lengths) {
    for (; length >= 63; length -= 63) out += kDigits[63];
    out += kDigits[length];
  }
  return out;
}

std::string packed_logprobs(std::span<const float> logprobs) {
  std::string out;
  for (const float logprob : logprobs) {
    // A NaN is shown as very unlikely.
    const double size = std::isnan(logprob) ? 16.0 : std::clamp(-double{logprob}, 0.0, 16.0);
    out += kDigits[static_cast<std::size_t>(std::lround(std::sqrt(size) * 63 / 4))];
  }
  return out;
}

std::size_t fair_limit(std::span<const std::size_t> sizes, std::size_t budget) {
  std::vector<std::size_t> sorted(sizes.begin(), sizes.end());
  std::sort(sorted.begin(), sorted.end());
  std::size_t left = budget;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const std::size_t share = left / (sorted.size() - i);
    if (sorted[i] > share) return share;
    left -= sorted[i];
  }
  return sorted.empty() ? budget : std::max(budget, sorted.back());
}

OrderedJson sample_of(const ResultFile& file, const RowTexts& texts, std::span<const RowId> rows,
                      std::size_t most_bytes) {
  std::map<PromptId, std::size_t> places;
  std::vector<std::pair<PromptId, PromptText>> prompts;
  std::vector<Entry> entries;
  for (const RowId row : rows) {
    StoredRow stored;
    try {
      stored = file.read_row(row);
    } catch (const FormatError&) {  // damaged, or begun again meanwhile; verify says which
      continue;
    }
    const bool finished = stored.record.status == static_cast<std::uint16_t>(RowStatus::done) ||
                          stored.record.status == static_cast<std::uint16_t>(RowStatus::failed);
    if (!finished) continue;
    const PromptId prompt = stored.record.prompt_index;
    const auto [place, is_new] = places.emplace(prompt, prompts.size());
    if (is_new) prompts.emplace_back(prompt, texts.prompt_of(stored));
    entries.push_back(entry_of(row, place->second, stored, file.layout(), texts));
  }
  std::vector<std::size_t> sizes;
  sizes.reserve(prompts.size() + entries.size());
  for (const auto& [prompt, text] : prompts) sizes.push_back(size_of(written(prompt, text)));
  for (const Entry& entry : entries) {
    sizes.push_back(size_of(written(entry, entry.text.bytes.size())));
  }
  const std::size_t limit = fair_limit(sizes, most_bytes);
  OrderedJson sample = {{"prompts", OrderedJson::array()}, {"rows", OrderedJson::array()}};
  for (auto& [prompt, text] : prompts) {
    sample["prompts"].push_back(written_within(prompt, std::move(text), limit));
  }
  for (const Entry& entry : entries) sample["rows"].push_back(written_within(entry, limit));
  return sample;
}

}  // namespace gridmill::report_detail
