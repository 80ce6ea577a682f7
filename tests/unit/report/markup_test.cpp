#include "report/markup.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gridmill::report_detail {
namespace {

TEST(ReportMarkup, TextsAreNeverMarkup) {
  EXPECT_EQ(escape("</script><b a=\"'\">&"), "&lt;/script&gt;&lt;b a=&quot;&#39;&quot;&gt;&amp;");
  EXPECT_EQ(escape("\xff\x1b"), "\\xff\\x1b");
  EXPECT_EQ(escape("\u202e"), "\\u202e");
  EXPECT_EQ(isolated("<"), "<bdi>&lt;</bdi>");
}

TEST(ReportMarkup, JsonCannotEndItsScript) {
  const OrderedJson value = {{"</script>", "<!--"}};
  const std::string text = script_json(value);
  EXPECT_EQ(text.find('<'), std::string::npos);
  EXPECT_EQ(OrderedJson::parse(text), value);
  EXPECT_EQ(script_json("\xff"), "\"\ufffd\"");
}

TEST(ReportMarkup, NumbersAreShortAndReadable) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(compact(0), "0");
  EXPECT_EQ(compact(1234), "1234");
  EXPECT_EQ(compact(12.345), "12.3");
  EXPECT_EQ(compact(123456), "123k");
  EXPECT_EQ(compact(4.5e9), "4.50G");
  EXPECT_EQ(duration_text(0.25), "250 ms");
  EXPECT_EQ(duration_text(75), "1 min 15 s");
  EXPECT_EQ(duration_text(7260), "2 h 1 min");
  EXPECT_EQ(percent(0), "0 %");
  EXPECT_EQ(percent(1e-6), "<0.1 %");
  EXPECT_EQ(percent(0.9999), ">99.9 %");
  EXPECT_EQ(percent(1), "100 %");
}

TEST(ReportMarkup, ACommandCanBePastedIntoAShell) {
  EXPECT_EQ(shell_line({"gridmill", "generate", "--stop", "it's $HOME", "", "--seed=7"}),
            R"(gridmill generate --stop 'it'\''s $HOME' '' --seed=7)");
}

TEST(ReportMarkup, TextsAreCutBetweenCharacters) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("a\u00e4\u00e4", 4), "a\u00e4\u2026");
  EXPECT_EQ(whole_characters("\U0001f600", 3), 0U);
}

}  // namespace
}  // namespace gridmill::report_detail
