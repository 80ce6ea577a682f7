#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "cli/command.hpp"
#include "cli/prompt_options.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/job/model_texts.hpp"
#include "gridmill/prompts/record_renderer.hpp"

namespace gridmill::cli {

namespace {

/// {"text", "ids"} of a prompt; ids if there is a tokenizer.
OrderedJson shown(const RenderedPrompt& rendered, const Tokenizer* tokenizer) {
  OrderedJson line;
  if (const auto* bad = std::get_if<BadPrompt>(&rendered.prompt)) return {{"error", bad->reason}};
  if (const auto* ids = std::get_if<std::vector<TokenId>>(&rendered.prompt)) {
    if (tokenizer != nullptr) line["text"] = tokenizer->decode(*ids, false);
    line["ids"] = *ids;
    return line;
  }
  const std::string& text = std::get<std::string>(rendered.prompt);
  line["text"] = text;
  if (tokenizer != nullptr) line["ids"] = tokenizer->encode(text, !rendered.from_messages);
  return line;
}

}  // namespace

ExitCode run_render(const Arguments& arguments, const MpiSession* /*session*/) {
  PromptOptions options;
  std::string prompt_field = "prompt";
  std::string model;
  CommandSyntax syntax{
      .name = "render",
      .example =
          "Example: gridmill render --chat-template chat.jinja --template-vars bos_token='<s>' < "
          "records.jsonl",
      .summary =
          "Records in, one JSON object each out: {\"text\", \"ids\"} as generate would feed it "
          "(ids\nwith --model), or {\"error\"}."};
  po::options_description own("Options");
  own.add_options()("model", po::value(&model)->value_name("M.h5"),
                    "checkpoint with the tokenizer and the chat template");
  syntax.options.add(own).add(prompt_options(options, prompt_field));
  if (!parse(syntax, arguments)) return ExitCode::ok;
  check_prompt_options(options);
  refuse_cut_options(options, "render");
  ModelTexts texts;
  std::unique_ptr<Tokenizer> tokenizer;
  if (!model.empty()) {
    const CheckpointFile checkpoint = CheckpointFile::open(model);
    if (!checkpoint.tokenizer_kind().empty()) {
      tokenizer = make_tokenizer(checkpoint.tokenizer_kind(), checkpoint.tokenizer(),
                                 checkpoint.model().at("vocab_size").get<int>(), model);
    }
    texts = model_texts(checkpoint, tokenizer.get());
  }
  const RecordRenderer renderer(resolve_prompt_options(options, texts, true), prompt_field);
  std::string line;
  for (std::uint64_t number = 1; std::getline(std::cin, line); ++number) {
    if (number == 1 && line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    if (line.ends_with('\r')) line.pop_back();
    OrderedJson answer;
    try {
      answer = shown(renderer.render(line, number), tokenizer.get());
    } catch (const FormatError& error) {  // a text that the tokenizer cannot say
      answer = {{"error", error.what()}};
    } catch (const UsageError& error) {  // ids that the tokenizer does not have
      answer = {{"error", error.what()}};
    }
    std::fputs((answer.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n").c_str(),
               stdout);
  }
  return ExitCode::ok;
}

}  // namespace gridmill::cli
