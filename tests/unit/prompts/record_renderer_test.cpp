#include "gridmill/prompts/record_renderer.hpp"

#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/prompts/prompt_index.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

TEST(PromptOptions, DefaultsAddNothingToAJob) {
  EXPECT_TRUE(to_json(PromptOptions()).empty());
  EXPECT_EQ(prompt_options_from_json(Json::object()), PromptOptions());
}

TEST(PromptOptions, ComeBackFromTheJob) {
  PromptOptions options;
  options.messages_field = "turns";
  options.record_template = "{{ a }}";
  options.system = "Be brief.";
  options.template_vars = {"a=1", "b=x"};
  options.continue_final_message = true;
  options.max_prompt_tokens = 7;
  options.truncate_prompt = "left";
  EXPECT_EQ(prompt_options_from_json(to_json(options)), options);
  EXPECT_EQ(to_json(options).size(), 7U) << "what is at its default stays out";
}

TEST(PromptOptions, AModelsTemplateBelongsToAJobOnlyIfRecordsMayHoldMessages) {
  ModelTexts model;
  model.files["chat_template.jinja"] = "{{ messages[0].content }}";
  model.files["tokenizer_config.json"] =
      R"({"bos_token": {"content": "<s>"}, "eos_token": null, "other": 1})";
  EXPECT_EQ(resolve_prompt_options({}, model, false), PromptOptions());
  const PromptOptions resolved = resolve_prompt_options({}, model, true);
  EXPECT_EQ(resolved.chat_template, "{{ messages[0].content }}");
  EXPECT_EQ(resolved.special_tokens, R"({"bos_token":"<s>"})");
  EXPECT_EQ(resolve_prompt_options({}, ModelTexts(), true), PromptOptions());
}

TEST(PromptOptions, ATemplateHasANameInTheTokenizersConfiguration) {
  ModelTexts model;
  model.files["tokenizer_config.json"] =
      R"({"chat_template": [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]})";
  PromptOptions given;
  given.chat_template = "tools";
  EXPECT_EQ(resolve_prompt_options(given, model, true).chat_template, "T");
  given.chat_template = "gone";
  EXPECT_THROW(static_cast<void>(resolve_prompt_options(given, model, true)), UsageError);
}

TEST(MentionsField, FindsANameAcrossTheBordersOfReads) {
  const test::TemporaryFolder folder;
  constexpr std::size_t kChunk = std::size_t{4} << 20;
  for (const std::size_t before : {std::size_t{0}, kChunk - 5, kChunk, 2 * kChunk - 1}) {
    const std::string path = folder.write("x.jsonl", std::string(before, 'a') + "\"turns\"");
    EXPECT_TRUE(PromptIndex::build(path, "turns").mentions_field) << before;
    EXPECT_FALSE(PromptIndex::build(path, "turn").mentions_field) << before;
    EXPECT_FALSE(PromptIndex::build(path).mentions_field) << before;
  }
}

RenderedPrompt render(const PromptOptions& options, const std::string& record) {
  return RecordRenderer(options, "data.text").render(record, 4);
}

std::string reason_of(const RenderedPrompt& rendered) {
  const auto* bad = std::get_if<BadPrompt>(&rendered.prompt);
  return bad == nullptr ? "a prompt" : bad->reason;
}

TEST(RecordRenderer, FindsTextsAndIdsAtAPath) {
  EXPECT_EQ(std::get<std::string>(render({}, R"({"data": {"text": "t"}})").prompt), "t");
  EXPECT_EQ(std::get<std::string>(render({}, R"({"data.text": "whole name"})").prompt),
            "whole name");
  EXPECT_EQ(std::get<std::vector<TokenId>>(render({}, R"({"data": {"text": [3, 0]}})").prompt),
            (std::vector<TokenId>{3, 0}));
  EXPECT_EQ(reason_of(render({}, R"({"data": {"text": [3, -1]}})")),
            "line 4: field 'data.text' is a list of other things than token ids");
  EXPECT_EQ(reason_of(render({}, R"({"data": 1})")), "line 4 has no field 'data.text'");
  EXPECT_EQ(reason_of(render({}, "[1]")), "line 4 is not a JSON object");
}

TEST(RecordRenderer, SystemAndShotsStandInFront) {
  PromptOptions options;
  options.chat_template = "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}";
  options.system = "S";
  options.few_shot =
      "{\"role\": \"user\", \"content\": \"1\"}\n\n"
      "{\"messages\": [{\"role\": \"assistant\", \"content\": \"2\"}]}\n";
  const auto text_of = [&](const std::string& record) {
    const RenderedPrompt rendered = render(options, record);
    EXPECT_TRUE(rendered.from_messages);
    return std::get<std::string>(rendered.prompt);
  };
  EXPECT_EQ(text_of(R"({"data": {"text": "t"}})"), "s:S;u:1;a:2;u:t;");
  EXPECT_EQ(text_of(R"({"messages": [{"role": "system", "content": "own"}]})"), "s:own;u:1;a:2;");
  options.few_shot = "{\"x\": 1}\n";
  EXPECT_THROW(RecordRenderer(options, "prompt"), FormatError);
}

TEST(RecordRenderer, ARecordsVariablesWinOverThoseOfTheJob) {
  PromptOptions options;
  options.chat_template = "{{ a }}{{ b }}{{ c }}";
  options.special_tokens = R"({"a": "A", "b": "B"})";
  options.template_vars = {"b=2", "c=false"};
  const std::string record = R"({"messages": [{"role": "user"}], "variables": {"c": "own"}})";
  EXPECT_EQ(std::get<std::string>(render(options, record).prompt), "A2own");
}

}  // namespace
}  // namespace gridmill
