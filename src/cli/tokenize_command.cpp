#include <cstdio>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "cli/prompt_options.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/job/model_texts.hpp"
#include "gridmill/prompts/record_renderer.hpp"
#include "gridmill/tokenizer/tokenizer.hpp"

namespace gridmill::cli {

namespace {

struct TokenizeOptions {
  std::string model;
  std::string tokenizer;
  bool jsonl = false;
  bool no_special = false;
  bool skip_special = false;
  bool record = false;
  PromptOptions prompting;
  std::string prompt_field = "prompt";
};

void add_common(po::options_description& options, TokenizeOptions& values) {
  auto add = options.add_options();
  add("model", po::value(&values.model)->value_name("M.h5"), "checkpoint that holds the tokenizer");
  add("tokenizer", po::value(&values.tokenizer)->value_name("FILE"),
      "tokenizer.json, tokenizer.model or a llama2.c tokenizer .bin");
  add("jsonl", switch_value(&values.jsonl), "a JSON object a line instead of bare values");
}

std::unique_ptr<Tokenizer> load(const TokenizeOptions& options) {
  if (options.model.empty() == options.tokenizer.empty()) {
    throw UsageError("give either --model or --tokenizer");
  }
  if (!options.tokenizer.empty()) {
    return make_tokenizer(tokenizer_kind_of(options.tokenizer), read_text_file(options.tokenizer),
                          0, options.tokenizer);
  }
  CheckpointFile::examine(options.model);
  const CheckpointFile checkpoint = CheckpointFile::open(options.model);
  if (checkpoint.tokenizer_kind().empty()) {
    throw FormatError(options.model + " holds no tokenizer; convert it with one");
  }
  return make_tokenizer(checkpoint.tokenizer_kind(), checkpoint.tokenizer(),
                        checkpoint.model().at("vocab_size").get<int>(), options.model);
}

/// Calls `line_to_line` for every line of stdin and prints what it returns.
template <typename LineToLine>
void for_each_line(const LineToLine& line_to_line) {
  std::string line;
  for (std::uint64_t number = 1; std::getline(std::cin, line); ++number) {
    try {
      std::fputs((line_to_line(line) + "\n").c_str(), stdout);
    } catch (const UsageError& error) {  // ids that the tokenizer does not have: the line's fault
      throw FormatError(fmt::format("{} (while reading line {} of stdin)", error.what(), number));
    } catch (Error& error) {
      error.add_context(fmt::format("reading line {} of stdin", number));
      throw;
    }
  }
}

std::vector<TokenId> ids_of(const Json& list) {
  if (!list.is_array()) throw FormatError("expected a list of token ids, found " + list.dump());
  std::vector<TokenId> ids;
  for (const Json& id : list) {
    if (!id.is_number_integer()) throw FormatError("a token id is " + id.dump());
    const auto value = id.get<std::int64_t>();
    if (value < 0 || value > std::numeric_limits<TokenId>::max()) {
      throw FormatError("a token id is " + id.dump());
    }
    ids.push_back(static_cast<TokenId>(value));
  }
  return ids;
}

const Json& field(const Json& object, const char* name) {
  if (!object.is_object() || !object.contains(name)) {
    throw FormatError(fmt::format("expected an object with a field \"{}\"", name));
  }
  return object.at(name);
}

/// Records in, the ids that generate would feed out.
void tokenize_records(const TokenizeOptions& options, const Tokenizer& tokenizer) {
  check_prompt_options(options.prompting);
  refuse_cut_options(options.prompting, "tokenize");
  ModelTexts texts{.name = options.tokenizer, .files = {}, .bos_token = {}, .eos_token = {}};
  if (!options.model.empty()) {
    texts = model_texts(CheckpointFile::open(options.model), &tokenizer);
  } else if (const auto bos = tokenizer.bos()) {
    texts.bos_token = tokenizer.token_bytes(*bos);
  }
  const RecordRenderer renderer(resolve_prompt_options(options.prompting, texts, true),
                                options.prompt_field);
  std::uint64_t number = 0;
  for_each_line([&](const std::string& line) {
    const RenderedPrompt rendered = renderer.render(line, ++number);
    if (const auto* bad = std::get_if<BadPrompt>(&rendered.prompt)) {
      throw FormatError(bad->reason);
    }
    const auto* ids = std::get_if<std::vector<TokenId>>(&rendered.prompt);
    const Json list = ids != nullptr
                          ? Json(*ids)
                          : Json(tokenizer.encode(std::get<std::string>(rendered.prompt),
                                                  !options.no_special && !rendered.from_messages));
    return options.jsonl ? Json{{"ids", list}}.dump() : list.dump();
  });
}

std::string hex_of(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

}  // namespace

ExitCode run_tokenize(const Arguments& arguments, const MpiSession* /*session*/) {
  TokenizeOptions options;
  CommandSyntax syntax{
      .name = "tokenize",
      .example = "Example: echo 'Once upon a time' | gridmill tokenize --model out/stories.h5",
      .summary =
          R"(A line of text in, a JSON list of ids out. With --jsonl: {"text"} in, {"ids"} out.)",
      .options = po::options_description("Options")};
  add_common(syntax.options, options);
  syntax.options.add_options()("no-special", switch_value(&options.no_special),
                               "without the special tokens of the post-processor");
  syntax.options.add_options()("record", switch_value(&options.record),
                               "a line is a record, as generate would read it");
  syntax.options.add(prompt_options(options.prompting, options.prompt_field));
  if (!parse(syntax, arguments)) return ExitCode::ok;
  const std::unique_ptr<Tokenizer> tokenizer = load(options);
  if (options.record) {
    tokenize_records(options, *tokenizer);
    return ExitCode::ok;
  }
  if (!(options.prompting == PromptOptions()) || options.prompt_field != "prompt") {
    throw UsageError("options that make prompts of records need --record");
  }
  for_each_line([&](const std::string& line) {
    if (!options.jsonl) return Json(tokenizer->encode(line, !options.no_special)).dump();
    const Json text = field(parse_json(line, "stdin"), "text");
    if (!text.is_string()) throw FormatError("field \"text\" is no string");
    return Json{{"ids", tokenizer->encode(text.get<std::string>(), !options.no_special)}}.dump();
  });
  return ExitCode::ok;
}

ExitCode run_detokenize(const Arguments& arguments, const MpiSession* /*session*/) {
  TokenizeOptions options;
  CommandSyntax syntax{
      .name = "detokenize",
      .example = "Example: echo '[1, 403, 407]' | gridmill detokenize --model out/stories.h5",
      .summary =
          "A JSON list of ids in, a line of text out. With --jsonl: {\"ids\"} in, "
          "{\"text\", \"bytes_hex\"} out.",
      .options = po::options_description("Options")};
  add_common(syntax.options, options);
  syntax.options.add_options()("skip-special", switch_value(&options.skip_special),
                               "leave special tokens out");
  if (!parse(syntax, arguments)) return ExitCode::ok;
  const std::unique_ptr<Tokenizer> tokenizer = load(options);
  for_each_line([&](const std::string& line) {
    const Json value = parse_json(line, "stdin");
    const std::vector<TokenId> ids = ids_of(options.jsonl ? field(value, "ids") : value);
    std::string text = tokenizer->decode(ids, options.skip_special);
    if (!options.jsonl) return text;
    return Json{{"text", text},
                {"bytes_hex", hex_of(tokenizer->decode_bytes(ids, options.skip_special))}}
        .dump();
  });
  return ExitCode::ok;
}

}  // namespace gridmill::cli
