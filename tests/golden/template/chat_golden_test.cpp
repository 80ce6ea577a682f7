#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/template/chat.hpp"

// Renderings of the chat templates of public models by transformers. The templates belong to other
// people and stay with the full golden data.

namespace gridmill::jinja {
namespace {

const Value& member(const Value& object, std::string_view name) {
  static const Value none = Value::none();
  const Dict* dict = object.as_dict();
  const Value* found = dict == nullptr ? nullptr : dict->find(name);
  return found == nullptr ? none : *found;
}

Members members_of(const Value& object) {
  Members members;
  if (const Dict* dict = object.as_dict()) {
    for (const auto& [name, value] : dict->entries) members.emplace_back(*name.as_text(), value);
  }
  return members;
}

std::vector<Value> lines_of(const std::string& path) {
  std::ifstream file(path);
  std::vector<Value> values;
  for (std::string line; std::getline(file, line);) {
    values.push_back(Value::from_json(line, path));
  }
  return values;
}

Chat chat_of(const Value& golden_case, const Value& special_tokens) {
  Chat chat;
  chat.messages = member(golden_case, "messages");
  chat.tools = member(golden_case, "tools");
  chat.documents = member(golden_case, "documents");
  const bool* prompt = member(golden_case, "add_generation_prompt").get_if<bool>();
  chat.add_generation_prompt = prompt != nullptr && *prompt;
  const Value& go_on = member(golden_case, "continue_final_message");
  if (const std::string* field = go_on.as_text()) {
    chat.continue_field = *field;
  } else if (go_on.get_if<bool>() != nullptr && *go_on.get_if<bool>()) {
    chat.continue_field = "content";
  }
  chat.variables = members_of(special_tokens);
  for (auto& variable : members_of(member(golden_case, "variables"))) {
    chat.variables.push_back(std::move(variable));
  }
  return chat;
}

void expect_rendering(const Template& chat_template, const Chat& chat, const Value& expected) {
  const std::string name = *member(expected, "case").as_text();
  const Value& error = member(expected, "error");
  try {
    const std::string text =
        render_chat(chat_template, chat, local_time_from_text("2026-02-03T04:05:06"));
    ASSERT_TRUE(error.is_none()) << name << ": expected an error, got " << text;
    EXPECT_EQ(text, *member(expected, "text").as_text()) << name;
  } catch (const RenderError& failure) {
    ASSERT_FALSE(error.is_none()) << name << ": " << failure.what();
    const bool raised = *member(error, "kind").as_text() == "raise_exception";
    EXPECT_EQ(failure.raised(), raised) << name << ": " << failure.what();
    if (raised) {
      EXPECT_EQ(failure.reason(), *member(error, "message").as_text()) << name;
    }
  }
}

TEST(ChatGolden, EveryTemplateRendersEveryConversationAsTransformersDoes) {
  const std::string golden = GRIDMILL_GOLDEN_DIR;
  if (golden.empty()) GTEST_SKIP() << "needs GRIDMILL_GOLDEN_DIR with the full golden data";
  const std::string templates = golden + "/../templates/";
  if (!std::filesystem::exists(templates)) GTEST_SKIP() << "needs " << templates;
  const Value manifest =
      Value::from_json(read_text_file(templates + "MANIFEST.json"), "MANIFEST.json");
  const std::vector<Value> cases = lines_of(golden + "/chat/cases.jsonl");
  std::size_t compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden + "/chat")) {
    const std::string name = entry.path().stem().string();
    const std::string source = templates + name + ".jinja";
    if (!std::filesystem::exists(source)) continue;
    SCOPED_TRACE(name);
    const Template chat_template = Template::parse(read_text_file(source), name);
    const Value& tokens = member(member(manifest, name), "special_tokens");
    for (const Value& expected : lines_of(entry.path().string())) {
      const std::string wanted = *member(expected, "case").as_text();
      const auto found = std::find_if(cases.begin(), cases.end(), [&](const Value& one) {
        return *member(one, "case").as_text() == wanted;
      });
      ASSERT_NE(found, cases.end()) << wanted;
      expect_rendering(chat_template, chat_of(*found, tokens), expected);
      ++compared;
    }
  }
  EXPECT_GE(compared, 76U * 68U);
}

}  // namespace
}  // namespace gridmill::jinja
