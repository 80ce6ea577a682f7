// Records to prompts, end to end: render, tokenize --record, generate, verify, score.

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using Words = std::vector<std::string>;

const char* const kChat =
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'critic' %}{{ raise_exception('no ' ~ "
    "m.role) }}{% endif %}[{{ m.role }}] {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

ProgramResult piped(const std::string& arguments, const std::string& input) {
  cli().folder().write("stdin.txt", input);
  cli().folder().write("chat.jinja", kChat);
  return test::run_program(
      {"sh", "-c", "exec \"$0\" " + arguments + " < stdin.txt", GRIDMILL_PROGRAM},
      cli().folder().path());
}

std::vector<Json> rendered(const std::string& options, const std::string& input) {
  const ProgramResult result = piped("render " + options, input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<Json> values;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

const char* const kRecords =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n"
    "{\"messages\": [{\"role\": \"critic\", \"content\": \"Hi\"}]}\n"
    "{\"messages\": [{\"role\": \"user\"}], \"add_generation_prompt\": false}\r\n"
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"continue_final_message\": "
    "true}\n"
    "{\"messages\": 5}\n"
    "{\"text\": 1}\n"
    "\n"
    "{\"prompt\": \"plain\"}\n"
    "{\"prompt\": [1, 403]}\n"
    "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"variables\": {\"bos_token\": "
    "\"B\"}}\n";

TEST(Render, GivesTextOrErrorForEveryRecord) {
  const std::vector<Json> lines =
      rendered("--chat-template chat.jinja --template-vars 'bos_token=<s>'", kRecords);
  ASSERT_EQ(lines.size(), 10U);
  EXPECT_EQ(lines[0], (Json{{"text", "<s>[user] Hi [assistant]"}}));
  EXPECT_EQ(lines[1].at("error"), "chat template: line 1, column 84: no critic");
  EXPECT_EQ(lines[2], (Json{{"text", "<s>[user]  "}}));
  EXPECT_EQ(lines[3], (Json{{"text", "<s>[user] Hi"}}));
  EXPECT_EQ(lines[4].at("error"), "messages is a int, expected a list of objects");
  EXPECT_EQ(lines[5].at("error"), "line 6 has no field 'prompt'");
  EXPECT_EQ(lines[6].at("error"), "line 7 is not a JSON object");
  EXPECT_EQ(lines[7], (Json{{"text", "plain"}}));
  EXPECT_EQ(lines[8], (Json{{"ids", {1, 403}}}));
  EXPECT_EQ(lines[9].at("text"), "B[user] Hi [assistant]");
}

TEST(Render, AReasonIsOneLineWhateverATemplateRaises) {
  cli().folder().write("raise.jinja", "{{ raise_exception(messages[0].content) }}");
  const std::string record = "{\"messages\": [{\"content\": \"a\\u0001b\\nc\"}]}\n";
  EXPECT_EQ(rendered("--chat-template raise.jinja", record).at(0).at("error"),
            "chat template: line 1, column 19: a b c");
}

TEST(Render, TextOfMessagesIsEncodedWithoutASecondBegin) {
  const std::vector<Json> lines =
      rendered("--model shakespeare.h5 --chat-template chat.jinja",
               "{\"messages\": [{\"role\": \"u\", \"content\": \"x\"}]}\n"
               "{\"prompt\": \"x\"}\n");
  const std::string bare = piped("tokenize --no-special --model shakespeare.h5",
                                 lines.at(0).at("text").get<std::string>() + "\n")
                               .out;
  EXPECT_EQ(lines[0].at("ids"), Json::parse(bare));
  EXPECT_EQ(lines[1].at("ids"), Json::parse(piped("tokenize --model shakespeare.h5", "x\n").out));
}

TEST(Render, TemplatesSeeFieldsAndFewShots) {
  cli().folder().write("shots.jsonl", "{\"q\": \"1+1\", \"a\": 2}\n");
  cli().folder().write("raw.jinja",
                       "{% for s in few_shot %}{{ s.q }}={{ s.a }}\n{% endfor %}{{ data.q }}=");
  EXPECT_EQ(
      rendered("--template raw.jinja --few-shot shots.jsonl", "{\"data\": {\"q\": \"2+2\"}}\n")
          .at(0),
      (Json{{"text", "1+1=2\n2+2="}}));
  cli().folder().write("turns.jinja", R"([{"role": "user", "content": {{ data.q|tojson }}}])");
  EXPECT_EQ(rendered("--template turns.jinja --chat-template chat.jinja",
                     "{\"data\": {\"q\": \"2+2\"}}\n")
                .at(0)
                .at("text"),
            "[user] 2+2 [assistant]");
  EXPECT_EQ(
      rendered("--prompt-field data.0.q", "{\"data\": [{\"q\": \"deep\"}]}\n").at(0).at("text"),
      "deep");
}

TEST(Render, BadOptionsAreOneLine) {
  cli().folder().write("bad.jinja", "{{ a|nope }}");
  for (const auto& [options, code, part] : std::vector<std::tuple<std::string, int, std::string>>{
           {"--chat-template bad.jinja", 65, "unsupported: filter 'nope'"},
           {"--chat-template nowhere", 64, "nowhere"},
           {"--template gone.jinja", 66, "gone.jinja"},
           {"--template-vars novalue", 64, "NAME=VALUE"},
           {"--chat-time now", 64, "YYYY-MM-DD"},
           {"--system x --chat-template none", 64, "exclude"},
           {"--truncate-prompt middle", 64, "middle"}}) {
    const ProgramResult result = piped("render " + options, "");
    EXPECT_EQ(result.exit_code, code) << options;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
}

TEST(TokenizeRecord, GivesTheIdsThatAreFed) {
  const std::string record = "{\"messages\": [{\"role\": \"u\", \"content\": \"x\"}]}\n";
  const std::string options = "--model stories.h5 --chat-template chat.jinja";
  const Json line = rendered(options, record).at(0);
  const ProgramResult ids = piped("tokenize --record --jsonl " + options, record);
  EXPECT_EQ(Json::parse(ids.out).at("ids"), line.at("ids")) << ids.err;
  EXPECT_EQ(piped("tokenize --model stories.h5 --system x", "").exit_code, 64);
}

/// A job over records, one of which the template refuses.
Words chat_job() {
  cli().folder().write("chat.jinja", kChat);
  cli().folder().write("records.jsonl",
                       "{\"messages\": [{\"role\": \"user\", \"content\": \"Ben\"}]}\n"
                       "{\"messages\": [{\"role\": \"critic\", \"content\": \"Ben\"}]}\n"
                       "{\"prompt\": \"Ben\"}\n{\"prompt\": [1, 403, 407]}\n");
  return {"--prompts", "records.jsonl", "--chat-template", "chat.jinja", "--system", "Hm"};
}

TEST(ChatJob, VerifyMakesTheSamePromptsWithoutItsOptions) {
  ASSERT_EQ(cli().generate(chat_job()).exit_code, 1) << "the template refuses one";
  EXPECT_EQ(cli().result().read_row(1).failure, "chat template: line 1, column 84: no critic");
  cli().folder().write("chat.jinja", "gone");
  const ProgramResult verified =
      cli().run({"verify", "out.h5", "--model", "stories.h5", "--prompts", "records.jsonl"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
}

TEST(ChatJob, ResumeRefusesAnotherTemplate) {
  ASSERT_EQ(cli().generate(chat_job()).exit_code, 1);
  EXPECT_EQ(cli().generate_again(chat_job()).exit_code, 1);
  Words other = chat_job();
  cli().folder().write("chat.jinja", "{{ messages[0].content }}");
  const ProgramResult refused = cli().generate_again(other);
  EXPECT_EQ(refused.exit_code, 73);
  EXPECT_NE(refused.err.find("prompting"), std::string::npos) << refused.err;
}

TEST(ChatJob, MessagesWithoutAChatTemplateAreAUsageError) {
  chat_job();
  const ProgramResult result = cli().generate({"--prompts", "records.jsonl"});
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_NE(result.err.find("--chat-template"), std::string::npos) << result.err;
}

TEST(ChatJob, TheGridDoesNotShow) {
  ASSERT_EQ(cli().generate(chat_job()).exit_code, 1);
  const std::string one = test::slurp(cli().file("out.h5"));
  ASSERT_EQ(cli().generate(chat_job(), 2).exit_code, 1);
  EXPECT_EQ(test::slurp(cli().file("out.h5")), one);
}

TEST(ChatJob, ScoreReadsMessages) {
  chat_job();
  const ProgramResult scored =
      cli().run({"score", "--model", "stories.h5", "--prompts", "records.jsonl", "--chat-template",
                 "chat.jinja", "--output", "scores.h5"});
  EXPECT_EQ(scored.exit_code, 1) << scored.err;
}

}  // namespace
}  // namespace gridmill
