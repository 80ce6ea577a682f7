#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cli/command.hpp"
#include "cli/export_destination.hpp"
#include "cli/export_rows.hpp"
#include "cli/export_table.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/log.hpp"
#include "gridmill/compression/compression.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/records/json_text.hpp"
#include "gridmill/records/result_records.hpp"

namespace gridmill::cli {

namespace {

struct ExportOptions {
  ResultPlaces places;
  std::string format = "jsonl";
  std::string output;
  std::optional<std::string> fields;
  bool join = false;
  bool messages = false;
  bool group = false;
  RowChoice choice;
};

/// Nothing = stdout.
std::optional<OutputTarget> decide_output(const ExportOptions& options,
                                          const ResultRecords& records) {
  if (options.output.empty()) return std::nullopt;
  OutputRules rules{.name = "--output",
                    .format = options.format == "h5" ? "gridmill-export" : "",
                    .inputs = result_file_inputs(options.places.file),
                    .side_files = {}};
  rules.inputs.push_back({"the model", records.model_path()});
  rules.inputs.push_back({"the prompts", records.prompts().path()});
  return OutputTarget::decide(options.output, rules);
}

void refuse_together(bool first, const char* first_name, bool second, const char* second_name) {
  if (!first || !second) return;
  throw UsageError(fmt::format("{} and {} exclude each other", first_name, second_name));
}

void check(const ExportOptions& options) {
  require_one_of("--format", options.format, {"jsonl", "text", "h5"});
  if (!options.choice.only.empty()) {
    require_one_of("--only", options.choice.only, {"done", "failed"});
  }
  if (!options.choice.by.empty()) {
    require_one_of("--by", options.choice.by, {"logprob", "mean-logprob"});
    if (options.choice.best == 0) throw UsageError("--by says what --best takes: give --best N");
  }
  const bool text = options.format == "text";
  refuse_together(text, "--format text", options.fields.has_value(), "--fields");
  refuse_together(text, "--format text", options.join, "--join");
  refuse_together(text, "--format text", options.messages, "--messages");
  refuse_together(text, "--format text", options.group, "--group");
  refuse_together(options.format == "h5", "--format h5", options.group, "--group");
  refuse_together(options.choice.best > 0, "--best", options.choice.only == "failed",
                  "--only failed");
  const bool packed = compression_of(options.output) != Compression::none;
  refuse_together(options.format == "h5", "--format h5", packed, "an --output that is packed");
  if (options.format == "h5" && options.output.empty()) {
    throw UsageError("--format h5 needs --output: HDF5 cannot be written to a pipe");
  }
}

bool is_default(RowField field, const ExportOptions& options, const ResultRecords& records) {
  const RowFieldInfo& info = info_of(field);
  switch (field) {
    case RowField::messages:
      return options.messages;
    case RowField::record:
      return !options.join;
    case RowField::text:
      return !options.messages || options.group;
    case RowField::prompt:
    case RowField::tokens:
      return !options.messages && !options.join;
    case RowField::logprobs:
      return records.has_logprobs() && !options.messages && !options.join;
    case RowField::top_ids:
    case RowField::top_logprobs:
      return records.top() > 0 && !options.messages && !options.join;
    default:
      return info.presence != Presence::named;
  }
}

LineShape shape_of(const ExportOptions& options, const ResultRecords& records) {
  LineShape shape{.fields = {}, .named = options.fields.has_value(), .join = options.join};
  if (shape.named) {
    shape.fields = parse_row_fields(*options.fields);
    const auto has_messages = [](const NamedField& field) {
      return field.field == RowField::messages;
    };
    if (options.messages && std::none_of(shape.fields.begin(), shape.fields.end(), has_messages)) {
      shape.fields.push_back({"messages", RowField::messages});
    }
  } else {
    for (const RowFieldInfo& info : row_fields()) {
      if (is_default(info.field, options, records)) {
        shape.fields.push_back({info.name, info.field});
      }
    }
  }
  for (const NamedField& field : shape.fields) {
    if (info_of(field.field).needs_logprobs && !records.has_logprobs()) {
      throw UsageError(
          fmt::format("--fields {}: {} has no log-probabilities; generate with "
                      "--logprobs",
                      field.name, records.result().path()));
    }
    const bool by_position =
        field.field == RowField::top_ids || field.field == RowField::top_logprobs;
    if (by_position && records.top() == 0) {
      throw UsageError(
          fmt::format("--fields {}: {} has no top log-probabilities; generate with "
                      "--top-logprobs",
                      field.name, records.result().path()));
    }
  }
  return shape;
}

std::string text_block(RowId index, const StoredRow& row, const ResultRecords& records) {
  const RowValue prompt = records.value(RowField::prompt, index, row);
  const auto* text = std::get_if<std::string>(&prompt);
  const bool failed = row.record.status == static_cast<std::uint16_t>(RowStatus::failed);
  return fmt::format(
      "--- row {} (prompt {}, sample {}, {})\n{}{}\n", index, row.record.prompt_index,
      row.record.sample_index, finish_reason_name(row.record.finish_reason),
      text == nullptr ? "" : *text,
      failed ? row.failure : std::get<std::string>(records.value(RowField::text, index, row)));
}

[[noreturn]] void refuse_member(PromptId prompt, const std::string& key) {
  throw FormatError(fmt::format(
      "the record of prompt {} has a field '{}' of its own: leave out --join, the record "
      "is then a field of the line",
      prompt, key));
}

/// One line a prompt: what its rows have in common, and the rows as `samples`. Written as it is
/// made, so that a prompt may have any number of samples.
void write_group(const ResultRecords& records, const LineShape& shape, const PromptRows& rows,
                 Destination& destination) {
  LineShape common{.fields = {}, .named = shape.named, .join = shape.join};
  LineShape sample{.fields = {}, .named = shape.named, .join = false};
  std::string messages;
  for (const NamedField& field : shape.fields) {
    if (field.field == RowField::messages) {
      messages = field.name;
    } else {
      (info_of(field.field).of_prompt ? common : sample).fields.push_back(field);
    }
  }
  common.without = messages;
  const StoredRow first = records.result().read_row(rows.rows.front());
  if (shape.join && records.record(rows.prompt)) {
    for (const JsonMember& member : members_of_json(*records.record(rows.prompt))) {
      if (member.key == "samples") refuse_member(rows.prompt, member.key);
    }
  }
  std::string line = json_line(records, common, rows.rows.front(), first);
  line.pop_back();
  const char* separator = line.size() > 1 ? "," : "";
  if (!messages.empty()) {
    line += separator;
    line += json_string(messages) + ":" + json_of(records.conversation(first));
    separator = ",";
  }
  line += separator;
  line += "\"samples\":[";
  destination.write_text(line);
  for (std::size_t i = 0; i < rows.rows.size(); ++i) {
    const RowId row = rows.rows[i];
    if (i > 0) destination.write_text(",");
    destination.write_text(json_line(records, sample, row, records.result().read_row(row)));
  }
  destination.write_text("]}\n");
}

std::uint64_t export_text(const ExportOptions& options, const ResultRecords& records,
                          const LineShape& shape, const std::optional<OutputTarget>& target) {
  Destination destination(target, options.output);
  RowWalk walk(records, options.choice);
  while (const std::optional<PromptRows> rows = walk.next()) {
    if (options.group) {
      write_group(records, shape, *rows, destination);
      continue;
    }
    for (const RowId row : rows->rows) {
      const StoredRow stored = records.result().read_row(row);
      destination.write_text(options.format == "jsonl"
                                 ? json_line(records, shape, row, stored) + "\n"
                                 : text_block(row, stored, records));
    }
  }
  destination.finish();
  return walk.unfinished();
}

}  // namespace

ExitCode run_export(const Arguments& arguments, const MpiSession* /*session*/) {
  ExportOptions options;
  CommandSyntax syntax{
      .name = "export",
      .example = "Example: gridmill export out/stories.h5 --format jsonl -o stories.jsonl.zst",
      .summary =
          "A result file as jsonl, text, or HDF5 columns. Model (for its tokenizer) and prompts\n"
          "default to those of the last run and are checked by hash. FILE appears when it is\n"
          "complete; .gz and .zst pack it."};
  std::string best;
  ResultPlaces& places = options.places;
  syntax.arguments.add_options()("file", po::value(&places.file)->required());
  auto add = syntax.options.add_options();
  add("format", po::value(&options.format)->default_value(options.format)->value_name("NAME"),
      "jsonl, text, h5");
  add("output,o", po::value(&options.output)->value_name("FILE"), "default: stdout");
  add("fields",
      po::value<std::string>()->value_name("LIST")->notifier(
          [&options](const std::string& list) { options.fields = list; }),
      "fields of a row, comma-separated; NEW=FIELD gives one another name");
  add("join", switch_value(&options.join),
      "the fields of the prompt's record beside those of a row");
  add("messages", switch_value(&options.messages), "the conversation with the answer appended");
  add("group", switch_value(&options.group), "one line a prompt, with its samples");
  add("best", po::value(&best)->value_name("N"), "the N best rows of each prompt, the best first");
  add("by", po::value(&options.choice.by)->value_name("WHAT"),
      "logprob (default), mean-logprob: what is best");
  add("only", po::value(&options.choice.only)->value_name("STATE"), "done, failed; default: both");
  add("model", po::value(&places.model)->value_name("M.h5"), "checkpoint with the tokenizer");
  add("prompts", po::value(&places.prompts)->value_name("FILE"), "prompt file of the job");
  add("include-stop", switch_value(&places.include_stop),
      "leave the stop string that ended a row in its text");
  syntax.positional.add("file", 1);
  if (!parse(syntax, arguments)) return ExitCode::ok;
  if (!best.empty()) {
    options.choice.best = static_cast<std::uint64_t>(positive_integer("--best", best));
  }
  check(options);

  const ResultRecords records(options.places);
  if (options.choice.best > 0 && !records.has_logprobs()) {
    throw UsageError(fmt::format("--best: {} has no log-probabilities; generate with --logprobs",
                                 records.result().path()));
  }
  const LineShape shape = shape_of(options, records);
  const std::optional<OutputTarget> target = decide_output(options, records);
  const std::uint64_t unfinished = options.format == "h5"
                                       ? export_table(records, options.choice, shape, *target)
                                       : export_text(options, records, shape, target);
  if (unfinished > 0) log::warn("{} rows are not finished and were left out", unfinished);
  return ExitCode::ok;
}

}  // namespace gridmill::cli
