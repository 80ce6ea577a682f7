#include "report/row_texts.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/prompts/prompt_options.hpp"
#include "gridmill/records/result_prompts.hpp"
#include "gridmill/results/run_log.hpp"
#include "gridmill/tokenizer/decode_stream.hpp"

namespace gridmill::report_detail {

namespace {

constexpr std::size_t kMostMessages = 64;

std::string text_field(const Json& object, const char* name, const std::string& where) {
  const auto field = object.find(name);
  if (field == object.end()) return "";
  if (!field->is_string()) {
    throw FormatError(
        fmt::format("{}: {} is a JSON {}, expected a text", where, name, field->type_name()));
  }
  return field->get<std::string>();
}

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// The text of a message: a text, the texts of a list of parts, or whatever it is as JSON.
std::string content_of(const Json& message) {
  std::string text;
  const auto content = message.find("content");
  if (content != message.end() && content->is_string()) {
    text = content->get<std::string>();
  } else if (content != message.end() && content->is_array()) {
    for (const Json& part : *content) {
      const bool has_text = part.is_object() && part.contains("text") && part["text"].is_string();
      text += has_text ? part["text"].get<std::string>() : dump(part);
    }
  } else if (content != message.end() && !content->is_null()) {
    text = dump(*content);
  }
  if (const auto calls = message.find("tool_calls"); calls != message.end()) {
    if (!text.empty()) text += '\n';
    text += dump(*calls);
  }
  return text;
}

/// One token after the other; of a model without tokenizer, or an id outside of it, the number.
class Pieces {
 public:
  explicit Pieces(const Tokenizer* tokenizer) : tokenizer_(tokenizer) {
    if (tokenizer != nullptr) stream_.emplace(*tokenizer, true);
  }
  [[nodiscard]] std::string push(TokenId id) {
    if (!stream_) return fmt::format("{} ", id);
    if (id < 0 || id >= tokenizer_->vocab_size()) return fmt::format("[{}]", id);
    return stream_->push(id);
  }
  [[nodiscard]] std::string finish() { return stream_ ? stream_->finish() : ""; }

 private:
  const Tokenizer* tokenizer_;
  std::optional<DecodeStream> stream_;
};

}  // namespace

RowTexts::RowTexts(const ResultFile& result, const std::string& model,
                   const std::string& prompts) try {
  const std::string& output = result.path();
  const std::optional<Json> run = last_run(output);
  const auto path_of = [&](const std::string& given, const char* field) {
    if (!given.empty()) return given;
    if (run && run->contains(field)) return text_field(*run, field, run_log_path_of(output));
    throw UsageError(fmt::format("{} has no run log beside it: give --{}", output, field));
  };
  const Json& job = result.job().fields;
  model_path_ = path_of(model, "model");
  open_model(job, output);
  const std::string where = output + ":/, attribute 'job'";
  const std::string prompts_path = path_of(prompts, "prompts");
  PromptIndex index = PromptIndex::build(prompts_path);
  if (index.content_hash != text_field(job, "prompts", where)) {
    throw FormatError(fmt::format("{} is not the prompt file that made {}", prompts_path, output));
  }
  const std::string field = text_field(job, "prompt_field", where);
  prompts_ = open_prompt_source(prompts_path, std::move(index), field.empty() ? "prompt" : field,
                                model_path_);
  const PromptOptions options = prompt_options_from_json(job.value("prompting", Json::object()));
  messages_field_ = options.messages_field;
  system_ = options.system;
  has_template_ = !options.record_template.empty();
} catch (const Json::exception& problem) {
  throw FormatError(fmt::format(
      "{}: its job attribute, its run log or its checkpoint does not say what it should: {}",
      result.path(), problem.what()));
}

void RowTexts::open_model(const Json& job, const std::string& output) {
  CheckpointFile::examine(model_path_);
  const CheckpointFile checkpoint = CheckpointFile::open(model_path_);
  if (checkpoint.tokenizer_hash() != text_field(job, "tokenizer", output + ":/, attribute 'job'")) {
    throw FormatError(
        fmt::format("{} has another tokenizer than the one that made {}", model_path_, output));
  }
  if (checkpoint.tokenizer_kind().empty()) return;
  tokenizer_ = make_tokenizer(checkpoint.tokenizer_kind(), checkpoint.tokenizer(),
                              checkpoint.model().at("vocab_size").get<int>(), model_path_);
}

bool RowTexts::read_chat(PromptId prompt, PromptText& into) const {
  if (has_template_) return false;
  const std::optional<std::string> text = prompts_->record(prompt);
  if (!text) return false;
  Json record;
  try {
    record = parse_json(*text, "record");
  } catch (const FormatError&) {  // the row says so: it is a failed one
    return false;
  }
  const auto messages = record.find(messages_field_);
  if (messages == record.end() || !messages->is_array() || messages->empty()) return false;
  if (!system_.empty()) into.chat.emplace_back("system", system_);
  for (const Json& message : *messages) {
    if (!message.is_object()) continue;
    if (into.chat.size() == kMostMessages) {
      into.chat.emplace_back("…", fmt::format("{} messages in all", messages->size()));
      break;
    }
    const auto role = message.find("role");
    into.chat.emplace_back(
        role != message.end() && role->is_string() ? role->get<std::string>() : "message",
        content_of(message));
  }
  return !into.chat.empty();
}

PromptText RowTexts::prompt_of(const StoredRow& row) const {
  PromptText result;
  const PromptId prompt = row.record.prompt_index;
  const bool known = prompt < prompts_->count();
  Prompt source;
  if (known) source = prompts_->read(prompt);
  const auto* text = std::get_if<std::string>(&source);
  // A record with a prompt of its own is fed as that, whatever else it has.
  const bool has_prompt = text != nullptr && !text->empty();
  if (known && !has_prompt && read_chat(prompt, result)) return result;
  if (row.record.prefix_length > 0) {
    Pieces pieces(tokenizer_.get());
    const std::span<const TokenId> all = row.tokens;
    for (const TokenId id : all.first(row.record.prefix_length)) result.text += pieces.push(id);
    result.text += pieces.finish();
  } else if (has_prompt) {
    result.text = *text;
  } else if (known) {
    result.text = prompts_->record(prompt).value_or("");
  }
  return result;
}

RowText RowTexts::text_of(const StoredRow& row, std::size_t most_tokens) const {
  const std::span<const TokenId> all = row.tokens;
  const std::size_t prefix = row.record.prefix_length;
  // Decoded behind the prefix: a leading blank of the first new token is part of the text.
  Pieces pieces(tokenizer_.get());
  for (const TokenId id : all.first(prefix)) static_cast<void>(pieces.push(id));
  RowText result;
  for (const TokenId id : all.subspan(prefix, std::min(most_tokens, all.size() - prefix))) {
    const std::string piece = pieces.push(id);
    result.bytes.push_back(piece.size());
    result.text += piece;
  }
  const std::string rest = pieces.finish();
  if (!result.bytes.empty()) result.bytes.back() += rest.size();
  result.text += rest;
  return result;
}

}  // namespace gridmill::report_detail
