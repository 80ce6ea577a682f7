#include "gridmill/records/result_records.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/records/json_text.hpp"
#include "gridmill/records/result_prompts.hpp"
#include "gridmill/results/run_log.hpp"
#include "gridmill/sampling/record_options.hpp"

namespace gridmill {

namespace {

/// A field that is not there counts as `absent`.
std::string text_field(const Json& object, const char* name, const std::string& where,
                       const char* absent = "") {
  const auto field = object.find(name);
  if (field == object.end()) return absent;
  if (!field->is_string()) {
    throw FormatError(
        fmt::format("{}: {} is a JSON {}, expected a text", where, name, field->type_name()));
  }
  return field->get<std::string>();
}

std::string job_attribute_of(const std::string& file) { return file + ":/, attribute 'job'"; }

bool is_failed(const StoredRow& row) {
  return row.record.status == static_cast<std::uint16_t>(RowStatus::failed);
}

FinishReason reason_of(const StoredRow& row) {
  return static_cast<FinishReason>(row.record.finish_reason);
}

}  // namespace

/// A prompt and its record.
struct ResultRecords::Fed {
  PromptId prompt = 0;
  std::optional<std::string> record;
  std::optional<RenderedPrompt> rendered;  ///< made when it is asked for
};

ResultRecords::ResultRecords(const ResultPlaces& places) try
    : places_(places),
      result_(ResultFile::open(places_.file, ResultFile::Origin::anywhere)),
      run_(last_run(places_.file)) {
  const Json& job = result_.job().fields;
  sampling_field_ = job.value("sampling_field", "sampling");
  if (job.contains("max_new_tokens")) limits_ = read_limits_identity(job);
  open_model(job);
  open_prompts(job);
} catch (const Json::exception& problem) {
  throw FormatError(fmt::format(
      "{}: its job attribute, its run log or its checkpoint does not say what it should: {}",
      places.file, problem.what()));
}

ResultRecords::~ResultRecords() = default;

std::string ResultRecords::place_of(const std::string& given, const char* field) const {
  if (!given.empty()) return given;
  if (run_ && run_->contains(field)) {
    return text_field(*run_, field, run_log_path_of(places_.file));
  }
  throw UsageError(fmt::format("{} has no run log beside it: give --{}", places_.file, field));
}

void ResultRecords::open_model(const Json& job) {
  model_path_ = place_of(places_.model, "model");
  CheckpointFile::examine(model_path_);
  const CheckpointFile checkpoint = CheckpointFile::open(model_path_);
  if (checkpoint.tokenizer_hash() != text_field(job, "tokenizer", job_attribute_of(places_.file))) {
    throw FormatError(fmt::format("{} has another tokenizer than the one that made {}", model_path_,
                                  places_.file));
  }
  if (checkpoint.tokenizer_kind().empty()) return;
  tokenizer_ = make_tokenizer(checkpoint.tokenizer_kind(), checkpoint.tokenizer(),
                              checkpoint.model().at("vocab_size").get<int>(), model_path_);
  special_tokens_ = special_token_texts(*tokenizer_);
}

void ResultRecords::open_prompts(const Json& job) {
  const std::string where = job_attribute_of(places_.file);
  const std::string path = place_of(places_.prompts, "prompts");
  PromptIndex index = PromptIndex::build(path);
  if (index.content_hash != text_field(job, "prompts", where)) {
    throw FormatError(fmt::format("{} is not the prompt file that made {}", path, places_.file));
  }
  const std::string field = text_field(job, "prompt_field", where, "prompt");
  prompts_ = open_prompt_source(path, std::move(index), field, model_path_);
  PromptOptions prompting;
  if (const auto found = job.find("prompting"); found != job.end()) {
    prompting = prompt_options_from_json(*found);
  }
  reader_ = std::make_unique<PromptReader>(*prompts_, prompting, field);
}

const ResultRecords::Fed& ResultRecords::fed(PromptId prompt) const {
  if (!fed_ || fed_->prompt != prompt) {
    fed_ = std::make_unique<Fed>(Fed{prompt, prompts_->record(prompt), std::nullopt});
  }
  return *fed_;
}

const std::optional<std::string>& ResultRecords::record(PromptId prompt) const {
  return fed(prompt).record;
}

RowLimits ResultRecords::limits_of(const StoredRow& row) const {
  RowLimits limits = limits_;
  const std::optional<std::string>& text = record(row.record.prompt_index);
  if (!text) return limits;
  const Json own = find_record_options(*text, sampling_field_);
  if (!own.is_object()) return limits;
  // Every field counts as the job's: the row was made, so they were in order.
  for (const OptionField& field : limit_fields()) {
    const auto given = own.find(field.record_name);
    if (given != own.end() && !given->is_null()) set_from_json(limits, field, *given);
  }
  return limits;
}

/// Where the stop string that ended a row stands in its text; nothing if a stop id did.
std::optional<StopMatch> ResultRecords::stop_match(const StoredRow& row) const {
  const RowLimits limits = limits_of(row);
  if (limits.stop.empty() || row.tokens.empty()) return std::nullopt;
  const std::span<const TokenId> all = row.tokens;
  const std::span<const TokenId> prefix = all.first(row.record.prefix_length);
  for (const TokenId id : limits.stop_token_ids) {
    if (id == all.back()) return std::nullopt;
  }
  for (const std::string& stop : limits.stop) {
    const auto id = special_tokens_.find(stop);
    if (id != special_tokens_.end() && id->second == all.back()) return std::nullopt;
  }
  StopTexts texts(*tokenizer_, limits.stop, prefix);
  std::optional<StopMatch> match;
  for (const TokenId id : all.subspan(prefix.size())) match = texts.push(id);
  return match;
}

/// The new tokens without eod, as text. Without tokenizer there is none.
std::string ResultRecords::text_of(const StoredRow& row) const {
  if (tokenizer_ == nullptr || is_failed(row)) return "";
  const std::span<const TokenId> all = row.tokens;
  std::span<const TokenId> fresh = all.subspan(row.record.prefix_length);
  const FinishReason reason = reason_of(row);
  std::optional<StopMatch> match;
  if (reason == FinishReason::stop) match = stop_match(row);
  // A token that ended the row is not part of the text; a stop string ends within its token.
  const bool token_ended = reason == FinishReason::eod || (reason == FinishReason::stop && !match);
  if (token_ended && !fresh.empty()) fresh = fresh.first(fresh.size() - 1);
  // Decoded behind the prefix: a leading blank of the first new token is part of the text.
  const std::string prefix = tokenizer_->decode_bytes(all.first(row.record.prefix_length), true);
  const std::string whole =
      tokenizer_->decode_bytes(all.first(row.record.prefix_length + fresh.size()), true);
  if (whole.compare(0, prefix.size(), prefix) != 0) return tokenizer_->decode(fresh, true);
  std::string text = whole.substr(prefix.size());
  if (match) text.resize(std::min(text.size(), places_.include_stop ? match->end : match->begin));
  return text;
}

RowValue ResultRecords::prompt_of(const StoredRow& row) const {
  const Fed& current = fed(row.record.prompt_index);
  if (!current.rendered) fed_->rendered = reader_->read(current.prompt);
  const Prompt& prompt = current.rendered->prompt;
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  const auto* ids = std::get_if<std::vector<TokenId>>(&prompt);
  if (ids == nullptr || tokenizer_ == nullptr) return {};
  const auto is_token = [this](TokenId id) { return id >= 0 && id < tokenizer_->vocab_size(); };
  if (!std::all_of(ids->begin(), ids->end(), is_token)) return {};
  return tokenizer_->decode(*ids, false);
}

RowValue ResultRecords::stop_of(const StoredRow& row) const {
  if (reason_of(row) != FinishReason::stop || row.record.stop_index == 0) return {};
  const RowLimits limits = limits_of(row);
  const std::size_t number = row.record.stop_index - std::size_t{1};
  if (number < limits.stop.size()) return limits.stop[number];
  const std::size_t id = number - limits.stop.size();
  if (id < limits.stop_token_ids.size()) return std::int64_t{limits.stop_token_ids[id]};
  return {};
}

RowValue ResultRecords::messages_with(const StoredRow& row,
                                      const std::optional<std::string>& answer) const {
  const RowValue prompt = prompt_of(row);
  const RenderedPrompt& rendered = *fed_->rendered;
  const auto message = [](const char* role, const std::string& content) {
    return fmt::format("{{\"role\":\"{}\",\"content\":{}}}", role, json_string(content));
  };
  std::vector<std::string> messages;
  const jinja::List* list = rendered.messages ? rendered.messages->as_list() : nullptr;
  if (list != nullptr) {
    for (const jinja::Value& one : list->items) messages.push_back(json_of(one));
  } else if (const auto* text = std::get_if<std::string>(&prompt)) {
    messages.push_back(message("user", *text));
  } else {
    return {};
  }
  if (answer && list != nullptr && !rendered.continued_field.empty() && !list->items.empty()) {
    // The answer goes on where the last message ends.
    const jinja::Dict* last = list->items.back().as_dict();
    const jinja::Value* begun = last == nullptr ? nullptr : last->find(rendered.continued_field);
    if (begun != nullptr && begun->as_text() != nullptr) {
      jinja::Members members;
      for (const auto& [key, value] : last->entries) {
        const bool goes_on = &value == begun;
        members.emplace_back(*key.as_text(),
                             goes_on ? jinja::Value::text(*begun->as_text() + *answer) : value);
      }
      messages.back() = json_of(jinja::Value::dict(std::move(members)));
      return JsonText{fmt::format("[{}]", fmt::join(messages, ","))};
    }
  }
  if (answer) messages.push_back(message("assistant", *answer));
  return JsonText{fmt::format("[{}]", fmt::join(messages, ","))};
}

RowValue ResultRecords::conversation(const StoredRow& row) const {
  return messages_with(row, std::nullopt);
}

std::optional<double> ResultRecords::judged(const StoredRow& row, bool mean) const {
  const std::vector<float> own = own_logprobs(result_.layout(), row);
  const double sum = std::accumulate(own.begin(), own.end(), 0.0);
  if (!mean) return sum;
  return own.empty() ? std::nullopt : std::optional(sum / static_cast<double>(own.size()));
}

RowValue ResultRecords::value(RowField field, RowId index, const StoredRow& row) const {
  const RowRecord& record = row.record;
  const std::int64_t fresh = std::int64_t{record.length} - std::int64_t{record.prefix_length};
  switch (field) {
    case RowField::index:
      return static_cast<std::int64_t>(index);
    case RowField::prompt_index:
      return std::int64_t{record.prompt_index};
    case RowField::sample_index:
      return std::int64_t{record.sample_index};
    case RowField::text:
      return text_of(row);
    case RowField::tokens:
      return std::span<const TokenId>(row.tokens);
    case RowField::logprobs:
      if (!has_logprobs() || row.logprobs.empty()) return {};
      return std::span<const float>(row.logprobs);
    case RowField::top_ids:
      if (top() == 0 || row.top_ids.empty()) return {};
      return std::span<const TokenId>(row.top_ids);
    case RowField::top_logprobs:
      if (top() == 0 || row.top_logprobs.empty()) return {};
      return std::span<const float>(row.top_logprobs);
    case RowField::finish_reason:
      return finish_reason_name(record.finish_reason);
    case RowField::stop:
      return stop_of(row);
    case RowField::stop_index:
      return std::int64_t{record.stop_index};
    case RowField::truncated:
      return (record.flags & kPromptTruncated) != 0;
    case RowField::failure:
      if (!is_failed(row)) return {};
      return row.failure;
    case RowField::prompt_tokens:
      return std::int64_t{record.prefix_length};
    case RowField::completion_tokens:
      return fresh;
    case RowField::sum_logprob:
    case RowField::mean_logprob:
      if (!has_logprobs() || is_failed(row)) return {};
      if (const auto number = judged(row, field == RowField::mean_logprob)) return *number;
      return {};
    case RowField::prompt:
      return prompt_of(row);
    case RowField::messages:
      if (is_failed(row)) return conversation(row);
      return messages_with(row, text_of(row));
    case RowField::record:
      if (const std::optional<std::string>& own = this->record(record.prompt_index)) {
        return JsonText{*own};
      }
      return {};
  }
  return {};
}

const char* finish_reason_name(std::uint16_t reason) {
  switch (static_cast<FinishReason>(reason)) {
    case FinishReason::none:
      return "none";
    case FinishReason::eod:
      return "eod";
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::error:
      return "error";
  }
  return "unknown";
}

std::string json_line(const ResultRecords& records, const LineShape& shape, RowId index,
                      const StoredRow& row) {
  std::string line = "{";
  const auto add = [&line](const std::string& key, std::string_view value) {
    if (line.size() > 1) line += ',';
    line += json_string(key);
    line += ':';
    line += value;
  };
  const auto named = [&shape](const std::string& name) {
    return std::find_if(shape.fields.begin(), shape.fields.end(),
                        [&](const NamedField& field) { return field.name == name; });
  };
  const std::optional<std::string> none;
  const std::optional<std::string>& record =
      shape.join ? records.record(row.record.prompt_index) : none;
  if (record) {
    for (const JsonMember& member : members_of_json(*record)) {
      if (!shape.without.empty() && member.key == shape.without) continue;
      const auto other = named(member.key);
      if (other == shape.fields.end()) {
        add(member.key, member.value);
      } else if (other->field != RowField::messages) {
        throw FormatError(fmt::format(
            "the record of prompt {} has a field '{}' of its own: give the row's another name, for "
            "example --fields {}_new={}",
            row.record.prompt_index, member.key, member.key, info_of(other->field).name));
      }
    }
  }
  for (const NamedField& field : shape.fields) {
    const RowValue value = records.value(field.field, index, row);
    const bool* const flag = std::get_if<bool>(&value);
    const bool there =
        !std::holds_alternative<std::monostate>(value) && !(flag != nullptr && !*flag);
    const bool wanted = shape.named || info_of(field.field).presence == Presence::always;
    const bool by_position =
        field.field == RowField::top_ids || field.field == RowField::top_logprobs;
    if (there || wanted) add(field.name, json_of(value, by_position ? records.top() : 0));
  }
  return line + "}";
}

}  // namespace gridmill
