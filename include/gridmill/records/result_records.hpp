#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/json.hpp"
#include "gridmill/prompts/prompt_reader.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/records/row_fields.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/sampling/sampling_options.hpp"
#include "gridmill/tokenizer/stop_texts.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill {

/// Where the job's model and prompts lie; empty = where its last run found them.
struct ResultPlaces {
  std::string file;  ///< the result file
  std::string model;
  std::string prompts;
  bool include_stop = false;  ///< the stop string that ended a row stays in its text
};

/// A result file together with what belongs to its rows: the tokenizer and the prompts of its job.
/// One thread at a time.
class ResultRecords {
 public:
  /// @throws MissingInputError, FormatError if the file is no result file, or model and prompts are
  /// not those of its job; UsageError if nothing says where they are.
  explicit ResultRecords(const ResultPlaces& places);
  ~ResultRecords();
  ResultRecords(const ResultRecords&) = delete;
  ResultRecords& operator=(const ResultRecords&) = delete;

  [[nodiscard]] const ResultFile& result() const { return result_; }
  [[nodiscard]] const PromptSource& prompts() const { return *prompts_; }
  [[nodiscard]] const std::string& model_path() const { return model_path_; }
  /// Name of the object in a record that overrides options of the job.
  [[nodiscard]] const std::string& sampling_field() const { return sampling_field_; }
  /// Entries of a position in top_ids; 0 = the file has none.
  [[nodiscard]] std::size_t top() const { return result_.layout().shape.top; }
  [[nodiscard]] bool has_logprobs() const { return result_.layout().shape.logprobs != 0; }

  /// A value of a finished row. RowField::messages is the conversation with the row's text as its
  /// answer, JSON; RowField::record the prompt's own JSON object.
  [[nodiscard]] RowValue value(RowField field, RowId index, const StoredRow& row) const;
  /// The conversation without an answer; nothing for a prompt that could not be read.
  [[nodiscard]] RowValue conversation(const StoredRow& row) const;
  /// Sum or mean of own_logprobs(), in order, in double; no mean of none. @pre has_logprobs()
  [[nodiscard]] std::optional<double> judged(const StoredRow& row, bool mean) const;
  /// The prompt's own JSON object, as it stands.
  [[nodiscard]] const std::optional<std::string>& record(PromptId prompt) const;

 private:
  struct Fed;
  const Fed& fed(PromptId prompt) const;
  void open_model(const Json& job);
  void open_prompts(const Json& job);
  [[nodiscard]] std::string place_of(const std::string& given, const char* field) const;
  [[nodiscard]] RowLimits limits_of(const StoredRow& row) const;
  [[nodiscard]] std::string text_of(const StoredRow& row) const;
  [[nodiscard]] RowValue prompt_of(const StoredRow& row) const;
  [[nodiscard]] RowValue stop_of(const StoredRow& row) const;
  [[nodiscard]] RowValue messages_with(const StoredRow& row,
                                       const std::optional<std::string>& answer) const;
  [[nodiscard]] std::optional<StopMatch> stop_match(const StoredRow& row) const;

  ResultPlaces places_;
  ResultFile result_;
  std::optional<Json> run_;
  RowLimits limits_;
  std::string sampling_field_;
  std::string model_path_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::map<std::string, TokenId> special_tokens_;
  std::unique_ptr<PromptSource> prompts_;
  std::unique_ptr<PromptReader> reader_;
  mutable std::unique_ptr<Fed> fed_;  ///< of the prompt that was asked for last
};

/// "eod", "stop", ... of RowRecord::finish_reason.
[[nodiscard]] const char* finish_reason_name(std::uint16_t reason);

/// How a row becomes a line.
struct LineShape {
  std::vector<NamedField> fields;
  bool named = false;     ///< the user named them: null where a row has no value, else left out
  bool join = false;      ///< the fields of the prompt's record stand in front
  std::string without{};  ///< but for the one with this name; empty = all of them
};

/// The row as a JSON object on one line.
/// @throws FormatError if `join` meets a field of the record that has the name of another; a
/// record's own `messages` gives way to those of the row.
[[nodiscard]] std::string json_line(const ResultRecords& records, const LineShape& shape,
                                    RowId index, const StoredRow& row);

}  // namespace gridmill
