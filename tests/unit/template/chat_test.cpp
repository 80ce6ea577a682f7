#include "gridmill/template/chat.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gridmill::jinja {
namespace {

Chat chat_of(const std::string& messages) {
  Chat chat;
  chat.messages = Value::from_json(messages, "messages");
  return chat;
}

const char* const kPlain =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

std::string render(const std::string& source, const Chat& chat) {
  return render_chat(Template::parse(source, "chat"), chat);
}

TEST(Chat, RendersMessagesWithAPromptForTheAnswer) {
  Chat chat = chat_of(R"([{"role": "user", "content": "Hi"}])");
  EXPECT_EQ(render(kPlain, chat), "<user>Hi</><assistant>");
  chat.add_generation_prompt = false;
  EXPECT_EQ(render(kPlain, chat), "<user>Hi</>");
}

TEST(Chat, GivesVariablesToolsAndDocuments) {
  Chat chat = chat_of(R"([{"role": "user", "content": "Hi"}])");
  chat.variables = {{"bos_token", Value::text("<s>")}, {"bos_token", Value::text("<b>")}};
  chat.tools = Value::from_json(R"([{"name": "t"}])", "tools");
  EXPECT_EQ(render("{{ bos_token }}{{ tools[0].name }}{{ documents }}{{ eos_token }}", chat),
            "<b>tNone");
}

TEST(Chat, NullMembersOfAMessageAreDropped) {
  const Chat chat = chat_of(R"([{"role": "user", "content": null, "deep": {"x": null}}])");
  EXPECT_EQ(render("{{ messages[0].content is defined }}{{ messages[0].deep.x is none }}", chat),
            "FalseTrue");
}

TEST(Chat, ReasoningHasTwoNames) {
  const std::string source = "{{ messages[0].reasoning_content }}|{{ messages[0].thinking }}";
  EXPECT_EQ(render(source, chat_of(R"([{"reasoning": "r"}])")), "r|r");
  EXPECT_EQ(render(source, chat_of(R"([{"reasoning_content": null, "thinking": "t"}])")), "t|t");
  EXPECT_EQ(render(source, chat_of(R"([{"reasoning_content": "a", "thinking": "t"}])")), "a|t");
}

TEST(Chat, ContinuesTheLastMessage) {
  Chat chat = chat_of(R"([{"role": "assistant", "content": "Once upon "}])");
  chat.add_generation_prompt = false;
  chat.continue_field = "content";
  EXPECT_EQ(render(kPlain, chat), "<assistant>Once upon ");
  EXPECT_EQ(render("{% for m in messages %}<{{ m.content|trim }}>{% endfor %}", chat),
            "<Once upon");
  chat.messages = Value::from_json(
      R"([{"role": "assistant", "content": [{"text": "a"}, {"text": "b"}, {"image": 1}]}])", "m");
  EXPECT_EQ(render("{% for p in messages[0].content %}{{ p.text }};{% endfor %}", chat), "a;b");
}

TEST(Chat, RefusesWhatCannotBeContinued) {
  Chat chat = chat_of(R"([{"role": "assistant", "content": "Once"}])");
  chat.continue_field = "content";
  EXPECT_THROW(static_cast<void>(render(kPlain, chat)), RenderError);  // and a prompt
  chat.add_generation_prompt = false;
  EXPECT_THROW(static_cast<void>(render("nothing", chat)), RenderError);
  chat.continue_field = "thinking";
  EXPECT_THROW(static_cast<void>(render(kPlain, chat)), RenderError);
  chat.continue_field = "content";
  chat.messages = Value::from_json(R"([{"content": 4}])", "m");
  EXPECT_THROW(static_cast<void>(render(kPlain, chat)), RenderError);
}

TEST(Chat, RefusesWhatIsNoConversation) {
  for (const char* messages : {"[]", "{}", "\"Hi\"", "null", "[1]", "[\"Hi\"]"}) {
    EXPECT_THROW(static_cast<void>(render(kPlain, chat_of(messages))), RenderError) << messages;
  }
}

TEST(Chat, TheTemplateDecidesAboutRoles) {
  const std::string source =
      "{% for m in messages %}{% if m.role != 'user' %}{{ raise_exception('only users, got ' ~ "
      "m.role) }}{% endif %}{% endfor %}ok";
  EXPECT_EQ(render(source, chat_of(R"([{"role": "user"}])")), "ok");
  try {
    static_cast<void>(render(source, chat_of(R"([{"role": "critic"}])")));
    FAIL();
  } catch (const RenderError& error) {
    EXPECT_TRUE(error.raised());
    EXPECT_EQ(error.reason(), "only users, got critic");
    EXPECT_EQ(std::string(error.what()), "chat: line 1, column 67: only users, got critic");
  }
}

}  // namespace
}  // namespace gridmill::jinja
