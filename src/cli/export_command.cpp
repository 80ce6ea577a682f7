#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "cli/command.hpp"
#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/base/printable.hpp"
#include "gridmill/base/temporary_file.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_file.hpp"
#include "gridmill/results/run_log.hpp"
#include "gridmill/sampling/record_options.hpp"
#include "gridmill/sampling/sampling_options.hpp"
#include "gridmill/tokenizer/stop_texts.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill::cli {

namespace {

struct ExportOptions {
  std::string file;
  std::string format = "jsonl";
  std::string output;
  std::string only;
  std::string model;
  std::string prompts;
  bool include_stop = false;
};

/// Stdout, a stream, or a temporary file that takes its name once it is complete.
class Destination {
 public:
  /// @param target  nothing = stdout.
  explicit Destination(const std::optional<OutputTarget>& target) : stream_(stdout) {
    if (!target) return;
    path_ = target->path();
    FileDescriptor file;
    if (target->is_stream()) {
      file = target->open_stream();
    } else {
      temporary_.emplace(path_);
      file = FileDescriptor(::fcntl(temporary_->descriptor().get(), F_DUPFD_CLOEXEC, 0));
    }
    stream_ = ::fdopen(file.get(), "w");
    if (stream_ == nullptr) {
      throw OutputError(fmt::format("cannot write to {}: {}", path_, system_reason()));
    }
    file.release();
  }
  Destination(const Destination&) = delete;
  Destination& operator=(const Destination&) = delete;
  ~Destination() {
    if (!path_.empty() && stream_ != nullptr) std::fclose(stream_);
  }
  /// Text that somebody will look at, unless a program reads it from a pipe or a file.
  void write_text(std::string_view text) {
    if (path_.empty() && ::isatty(STDOUT_FILENO) != 0) {
      write(printable(text, Breaks::kept));
    } else {
      write(text);
    }
  }
  void write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), stream_) != text.size()) fail();
  }
  void finish() {
    if (std::fflush(stream_) != 0) fail();
    if (path_.empty()) return;
    if (std::fclose(std::exchange(stream_, nullptr)) != 0) fail();
    if (temporary_) temporary_->publish();
  }

 private:
  [[noreturn]] void fail() const {
    throw IoError(
        fmt::format("writing {} failed: {}", path_.empty() ? "stdout" : path_, system_reason()));
  }
  std::string path_;  ///< empty = stdout
  std::optional<TemporaryFile> temporary_;
  std::FILE* stream_;
};

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

/// Where the job's model and prompts lie: as given, else as the last run found them; checked by
/// hash.
class Sources {
 public:
  Sources(const ExportOptions& options, const ResultFile& result) try {
    const std::optional<Json> run = last_run(options.file);
    const auto path_of = [&](const std::string& given, const char* field) {
      if (!given.empty()) return given;
      if (run && run->contains(field))
        return text_field(*run, field, run_log_path_of(options.file));
      throw UsageError(fmt::format("{} has no run log beside it: give --{}", options.file, field));
    };
    const Json& job = result.job().fields;
    include_stop_ = options.include_stop;
    sampling_field_ = job.value("sampling_field", "sampling");
    if (job.contains("max_new_tokens")) limits_ = read_limits_identity(job);
    model_path_ = path_of(options.model, "model");
    CheckpointFile::examine(model_path_);
    const CheckpointFile checkpoint = CheckpointFile::open(model_path_);
    const std::string where = options.file + ":/, attribute 'job'";
    if (checkpoint.tokenizer_hash() != text_field(job, "tokenizer", where)) {
      throw FormatError(fmt::format("{} has another tokenizer than the one that made {}",
                                    model_path_, options.file));
    }
    if (!checkpoint.tokenizer_kind().empty()) {
      tokenizer_ = make_tokenizer(checkpoint.tokenizer_kind(), checkpoint.tokenizer(),
                                  checkpoint.model().at("vocab_size").get<int>(), model_path_);
      special_tokens_ = special_token_texts(*tokenizer_);
    }
    const std::string prompts_path = path_of(options.prompts, "prompts");
    PromptIndex index = PromptIndex::build(prompts_path);
    if (index.content_hash != text_field(job, "prompts", where)) {
      throw FormatError(
          fmt::format("{} is not the prompt file that made {}", prompts_path, options.file));
    }
    prompts_ = PromptSource::open(prompts_path, std::move(index),
                                  text_field(job, "prompt_field", where, "prompt"));
  } catch (const Json::exception& problem) {
    throw FormatError(fmt::format(
        "{}: its job attribute, its run log or its checkpoint does not say what it should: {}",
        options.file, problem.what()));
  }

  /// The new tokens without eod, as text. Without tokenizer there is none.
  [[nodiscard]] std::string text_of(const StoredRow& row) const {
    if (tokenizer_ == nullptr) return "";
    const std::span<const TokenId> all = row.tokens;
    std::span<const TokenId> fresh = all.subspan(row.record.prefix_length);
    const auto reason = static_cast<FinishReason>(row.record.finish_reason);
    std::optional<StopMatch> match;
    if (reason == FinishReason::stop) match = stop_match(row);
    // A token that ended the row is not part of the text; a stop string ends within its token.
    const bool token_ended =
        reason == FinishReason::eod || (reason == FinishReason::stop && !match);
    if (token_ended && !fresh.empty()) fresh = fresh.first(fresh.size() - 1);
    // Decoded behind the prefix: a leading blank of the first new token is part of the text.
    const std::string prefix = tokenizer_->decode_bytes(all.first(row.record.prefix_length), true);
    const std::string whole =
        tokenizer_->decode_bytes(all.first(row.record.prefix_length + fresh.size()), true);
    if (whole.compare(0, prefix.size(), prefix) != 0) return tokenizer_->decode(fresh, true);
    std::string text = whole.substr(prefix.size());
    if (match) text.resize(std::min(text.size(), include_stop_ ? match->end : match->begin));
    return text;
  }
  [[nodiscard]] const PromptSource& prompts() const { return *prompts_; }
  [[nodiscard]] const std::string& model_path() const { return model_path_; }

 private:
  /// Where the stop string that ended a row stands in its text; nothing if a stop id did.
  [[nodiscard]] std::optional<StopMatch> stop_match(const StoredRow& row) const {
    RowLimits limits = limits_;
    if (const auto record = prompts_->record(row.record.prompt_index)) {
      const Json own = find_record_options(*record, sampling_field_);
      // Every field counts as the job's: the row was made, so they were in order.
      if (own.is_object()) {
        for (const OptionField& field : limit_fields()) {
          const auto given = own.find(field.record_name);
          if (given != own.end() && !given->is_null()) set_from_json(limits, field, *given);
        }
      }
    }
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

  RowLimits limits_;
  std::map<std::string, TokenId> special_tokens_;
  std::string sampling_field_;
  bool include_stop_ = false;
  std::string model_path_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<PromptSource> prompts_;
};

/// Nothing = stdout.
std::optional<OutputTarget> decide_output(const ExportOptions& options, const Sources& sources) {
  if (options.output.empty()) return std::nullopt;
  OutputRules rules{.name = "--output",
                    .format = {},
                    .inputs = result_file_inputs(options.file),
                    .side_files = {}};
  rules.inputs.push_back({"the model", sources.model_path()});
  rules.inputs.push_back({"the prompts", sources.prompts().path()});
  return OutputTarget::decide(options.output, rules);
}

const char* reason_name(std::uint16_t reason) {
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

/// JSON with ill-formed UTF-8 replaced by U+FFFD.
std::string to_text(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::string jsonl_line(RowId index, const StoredRow& row, const Sources& sources) {
  OrderedJson line = {{"index", index},
                      {"prompt_index", row.record.prompt_index},
                      {"sample_index", row.record.sample_index}};
  const bool failed = row.record.status == static_cast<std::uint16_t>(RowStatus::failed);
  line["text"] = failed ? "" : sources.text_of(row);
  line["tokens"] = row.tokens;
  if (!row.logprobs.empty()) line["logprobs"] = row.logprobs;
  line["finish_reason"] = reason_name(row.record.finish_reason);
  if (failed) line["failure"] = row.failure;
  const Prompt prompt = sources.prompts().read(row.record.prompt_index);
  if (const auto* text = std::get_if<std::string>(&prompt)) line["prompt"] = *text;
  std::string text = to_text(line);
  // The prompt's own object goes in as it stands, numbers and order of keys untouched.
  if (const auto record = sources.prompts().record(row.record.prompt_index)) {
    text.insert(text.size() - 1, ",\"record\":" + *record);
  }
  return text + "\n";
}

std::string text_block(RowId index, const StoredRow& row, const Sources& sources) {
  const Prompt prompt = sources.prompts().read(row.record.prompt_index);
  const auto* text = std::get_if<std::string>(&prompt);
  const bool failed = row.record.status == static_cast<std::uint16_t>(RowStatus::failed);
  return fmt::format("--- row {} (prompt {}, sample {}, {})\n{}{}\n", index,
                     row.record.prompt_index, row.record.sample_index,
                     reason_name(row.record.finish_reason), text == nullptr ? "" : *text,
                     failed ? row.failure : sources.text_of(row));
}

}  // namespace

ExitCode run_export(const Arguments& arguments, const MpiSession* /*session*/) {
  ExportOptions options;
  CommandSyntax syntax{
      .name = "export",
      .example = "Example: gridmill export out/stories.h5 --format jsonl -o stories.jsonl",
      .summary =
          "A result file as jsonl or text. Model (for its tokenizer) and prompts default to\n"
          "those of the last run and are checked by hash. FILE appears when it is complete."};
  syntax.arguments.add_options()("file", po::value(&options.file)->required());
  auto add = syntax.options.add_options();
  add("format", po::value(&options.format)->default_value(options.format)->value_name("NAME"),
      "jsonl, text");
  add("output,o", po::value(&options.output)->value_name("FILE"), "default: stdout");
  add("only", po::value(&options.only)->value_name("STATE"), "done, failed; default: both");
  add("model", po::value(&options.model)->value_name("M.h5"), "checkpoint with the tokenizer");
  add("prompts", po::value(&options.prompts)->value_name("FILE"), "prompt file of the job");
  add("include-stop", switch_value(&options.include_stop),
      "leave the stop string that ended a row in its text");
  syntax.positional.add("file", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;
  require_one_of("--format", options.format, {"jsonl", "text"});
  if (!options.only.empty()) require_one_of("--only", options.only, {"done", "failed"});

  const ResultFile result = ResultFile::open(options.file, ResultFile::Origin::anywhere);
  const Sources sources(options, result);
  Destination destination(decide_output(options, sources));
  std::uint64_t unfinished = 0;
  for (RowId row = 0; row < result.layout().shape.rows; ++row) {
    const RowState state = scan_rows(result.rows(), result.layout(), row, 1).front();
    if (state != RowState::done && state != RowState::failed) {
      ++unfinished;
      continue;
    }
    if (options.only == "done" && state != RowState::done) continue;
    if (options.only == "failed" && state != RowState::failed) continue;
    const StoredRow stored = result.read_row(row);
    destination.write_text(options.format == "jsonl" ? jsonl_line(row, stored, sources)
                                                     : text_block(row, stored, sources));
  }
  destination.finish();
  if (unfinished > 0) log::warn("{} rows are not finished and were left out", unfinished);
  return ExitCode::ok;
}

}  // namespace gridmill::cli
