// Records and templates that cannot be used, and options about them that contradict each other.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::fails_with;
using test::ProgramResult;
using Words = std::vector<std::string>;

const char* const kChat =
    "{% for m in messages %}{% if m.role not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('no role ' ~ m.role) }}{% endif %}{{ m.content }}{% endfor %}";

TEST(BadRecords, MakeFailedRowsWithAReasonAndTheJobGoesOn) {
  cli().folder().write("chat.jinja", kChat);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"messages": [{"role": "user", "content": "Ben"}]})", ""},
      {R"({"messages": [{"role": "wizard", "content": "Ben"}]})", "no role wizard"},
      {R"({"messages": [{"content": "Ben"}]})", "no role"},
      {R"({"messages": [{"role": "user"}]})", ""},  // as the template decides
      {R"({"messages": [{"role": "user", "content": null}]})", ""},
      {R"({"messages": [5]})", "expected"},
      {R"({"messages": {}})", "expected a list"},
      {R"({"messages": "Ben"})", "expected a list"},
      {R"({"messages": null})", "no field 'prompt'"},
      {R"({"messages": []})", "there are no messages"},
      {R"({"messages": [{"role": "user", "content": "Ben"}], "add_generation_prompt": 1})",
       "expected true or false"},
      {R"({"messages": [{"role": "user", "content": "Ben"}], "variables": 5})", "no object"},
      {R"({"prompt": {"a": 1}})", "expected a string"},
      {R"({"prompt": ["a"]})", "token ids"},
      {R"({"prompt": [1, 99999]})", "99999"},
      {R"({"prompt": ""})", ""},
      {R"({"prompt": []})", ""},
      {"[1]", "not a JSON object"},
      {"{\"prompt\": \"\xFF\"}", "not a JSON object"},
      {R"({"prompt": "Ben", "sampling": {"temperature": -1}})", "temperature"},
      {R"({"prompt": "Ben", "sampling": {"top_q": 1}})", "top_q"},
      {R"({"prompt": "Ben", "sampling": {"stop": ""}})", "stop"},
      {R"({"prompt": "Ben", "sampling": {"stop": ["a", ""]}})", "stop"},
      {R"({"prompt": "Ben", "sampling": 5})", "sampling"},
  };
  std::string lines;
  for (const auto& one : cases) lines += one.first + "\n";
  cli().folder().write("odd.jsonl", lines);
  const ProgramResult made =
      cli().generate({"--prompts", "odd.jsonl", "--chat-template", "chat.jinja"});
  EXPECT_EQ(made.exit_code, 1) << made.err;
  const ResultFile result = cli().result();
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const StoredRow row = result.read_row(i);
    const bool failed = row.record.status == static_cast<std::uint16_t>(RowStatus::failed);
    EXPECT_EQ(failed, !cases[i].second.empty()) << cases[i].first << ": " << row.failure;
    EXPECT_NE(row.failure.find(cases[i].second), std::string::npos)
        << cases[i].first << ": " << row.failure;
  }
  EXPECT_EQ(result.read_row(3).record.prefix_length, 1U) << "nothing to say: the begin token";
}

TEST(BadTemplate, ThatRaisesOrMakesNothingOfARecord) {
  cli().folder().write("t.jinja",
                       "{% if not topic %}{{ raise_exception('no topic in ' ~ id) }}{% endif %}"
                       "{{ topic.name }}");
  cli().folder().write("t.jsonl",
                       "{\"id\": 1, \"topic\": {\"name\": \"dogs\"}}\n{\"id\": 2}\n"
                       "{\"id\": 3, \"topic\": {\"x\": 1}}\n");
  EXPECT_EQ(cli().generate({"--prompts", "t.jsonl", "--template", "t.jinja"}).exit_code, 1);
  EXPECT_EQ(cli().result().read_row(1).failure, "template: line 1, column 37: no topic in 2");
  EXPECT_EQ(cli().result().read_row(2).record.prefix_length, 1U) << "an empty text: [bos]";
}

TEST(BadTemplate, ThatNeverEndsIsAFailedRow) {
  cli().folder().write(
      "loop.jinja",
      "{% for a in range(99999) %}{% for b in range(99999) %}{{ '' }}{% endfor %}{% endfor %}");
  cli().folder().write("one.jsonl", "{\"id\": 1}\n");
  const ProgramResult made =
      cli().run({"generate", "--model", "stories.h5", "--prompts", "one.jsonl", "--template",
                 "loop.jinja", "--output", "loop.h5", "--show", "1"});
  EXPECT_NE(made.out.find("steps"), std::string::npos) << made.out << made.err;
}

TEST(BadPromptOptions, AreUsageErrorsThatNameWhatDisagrees) {
  cli().folder().write("chat.jinja", kChat);
  cli().folder().write("shots.jsonl", "{\"role\": \"user\", \"content\": \"x\"}\n");
  for (const auto& [options, words] : std::vector<std::tuple<Words, Words>>{
           {{"--chat-template", "none", "--system", "x"}, {"--chat-template=none", "--system"}},
           {{"--chat-template", "none", "--few-shot", "shots.jsonl"},
            {"--chat-template=none", "--few-shot"}},
           {{"--chat-template", "nowhere"}, {"--chat-template", "nowhere"}},
           {{"--max-prompt-tokens=-1"}, {"--max-prompt-tokens", "-1"}},
           {{"--truncate-prompt", "middle"}, {"--truncate-prompt", "middle"}},
           {{"--template-vars", "x"}, {"--template-vars", "NAME=VALUE"}},
           {{"--chat-time", "yesterday"}, {"yesterday"}},
           {{"--messages-field", ""}, {"--messages-field"}},
           {{"--system", "x"}, {"--chat-template"}},
       }) {
    Words arguments = {"--prompts", "prompts.jsonl"};
    cli().folder().write("prompts.jsonl",
                         "{\"messages\": [{\"role\": \"user\", \"content\": \"Ben\"}]}\n");
    arguments.insert(arguments.end(), options.begin(), options.end());
    EXPECT_TRUE(fails_with(cli().generate(arguments), 64, words));
  }
}

}  // namespace
}  // namespace gridmill
