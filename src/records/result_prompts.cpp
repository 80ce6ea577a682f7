#include "gridmill/records/result_prompts.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/records/json_text.hpp"
#include "gridmill/records/result_records.hpp"
#include "gridmill/results/recovery.hpp"

namespace gridmill {

namespace {

/// Fields that a row adds to the record of its prompt.
constexpr std::array<RowField, 9> kAdded = {
    RowField::index,         RowField::prompt_index,      RowField::sample_index,
    RowField::text,          RowField::finish_reason,     RowField::prompt,
    RowField::prompt_tokens, RowField::completion_tokens, RowField::messages};

/// Says how a conversation is rendered, which the next job decides anew.
constexpr std::array<std::string_view, 2> kLeftOut = {"add_generation_prompt",
                                                      "continue_final_message"};

/// `model` if it has the tokenizer of the job that made the file, else "".
std::string model_with_tokenizer(const std::string& file, const std::string& model) {
  if (model.empty()) return "";
  const ResultFile result = ResultFile::open(file, ResultFile::Origin::anywhere);
  const auto wanted = result.job().fields.find("tokenizer");
  const bool same = wanted != result.job().fields.end() && wanted->is_string() &&
                    CheckpointFile::open(model).tokenizer_hash() == wanted->get<std::string>();
  return same ? model : "";
}

/// Rows of a result file as records.
class ResultPrompts final : public PromptSource {
 public:
  ResultPrompts(const std::string& path, PromptIndex index, std::string field,
                const std::string& model)
      : PromptSource(path, std::move(index)),
        field_(std::move(field)),
        records_({.file = path,
                  .model = model_with_tokenizer(path, model),
                  .prompts = {},
                  .include_stop = false}) {
    const std::string& sampling = records_.sampling_field();
    overrides_ = sampling.substr(0, sampling.find('.'));
    if (records_.result().layout().shape.rows != count()) {
      throw FormatError(fmt::format("{} has changed", path));
    }
    require_finished();
  }

  [[nodiscard]] std::optional<std::string> record(PromptId prompt) const override {
    const RowId row = prompt;
    if (cached_ && cached_->row == row) return cached_->record;
    const StoredRow stored = records_.result().read_row(row);
    cached_ = Cached{row, std::nullopt, stored.failure};
    if (stored.record.status == static_cast<std::uint16_t>(RowStatus::done)) {
      cached_->record = made(row, stored);
    }
    return cached_->record;
  }

 private:
  struct Cached {
    RowId row;
    std::optional<std::string> record;
    std::string failure;
  };

  void require_finished() const {
    constexpr std::uint64_t kBlockRows = std::uint64_t{1} << 16;
    const ResultFile& file = records_.result();
    std::uint64_t unfinished = 0;
    for (RowId first = 0; first < count(); first += kBlockRows) {
      const std::uint64_t rows = std::min<std::uint64_t>(kBlockRows, count() - first);
      for (const RowState state :
           scan_rows(file.rows(), file.layout(), first, rows, {.payload = false})) {
        if (state != RowState::done && state != RowState::failed) ++unfinished;
      }
    }
    if (unfinished == 0) return;
    throw FormatError(
        fmt::format("{} has {} rows that are not finished: run its job to the end before its rows "
                    "are prompts of another",
                    path(), unfinished));
  }

  [[nodiscard]] std::string made(RowId row, const StoredRow& stored) const {
    std::vector<std::pair<std::string, std::string>> members;
    const auto set = [&members](const std::string& key, std::string value) {
      for (auto& [other, old] : members) {
        if (other == key) {
          old = std::move(value);
          return;
        }
      }
      members.emplace_back(key, std::move(value));
    };
    if (const std::optional<std::string>& own = records_.record(stored.record.prompt_index)) {
      for (const JsonMember& member : members_of_json(*own)) {
        const bool left_out =
            member.key == overrides_ || member.key == kLeftOut[0] || member.key == kLeftOut[1];
        if (!left_out) set(member.key, std::string(member.value));
      }
    }
    for (const RowField field : kAdded) {
      set(info_of(field).name, json_of(records_.value(field, row, stored)));
    }
    std::string text = "{";
    for (const auto& [key, value] : members) {
      if (text.size() > 1) text += ',';
      text += json_string(key);
      text += ':';
      text += value;
    }
    return text + "}";
  }

  [[nodiscard]] Prompt read_checked(PromptId prompt) const override {
    const std::optional<std::string> found = record(prompt);
    if (!found) {
      return BadPrompt{
          fmt::format("row {} of the result file failed: {}", prompt, cached_->failure)};
    }
    // The fields of records, and how they become prompts, are a renderer's business.
    return RecordRenderer(PromptOptions(), field_).render(*found, std::uint64_t{prompt} + 1).prompt;
  }

  std::string field_;
  ResultRecords records_;
  std::string overrides_;  ///< member of a record that holds options of the earlier job
  mutable std::optional<Cached> cached_;
};

}  // namespace

std::unique_ptr<PromptSource> open_prompt_source(const std::string& path, PromptIndex index,
                                                 const std::string& prompt_field,
                                                 const std::string& model) {
  if (index.format != PromptFormat::results) {
    return PromptSource::open(path, std::move(index), prompt_field);
  }
  return std::make_unique<ResultPrompts>(path, std::move(index), prompt_field, model);
}

}  // namespace gridmill
