#include "gridmill/base/printable.hpp"

#include <gtest/gtest.h>

#include <string>

namespace gridmill {
namespace {

TEST(Printable, LeavesHarmlessTextAsItIs) {
  for (const std::string text :
       {"", "row 3: 'a b'", "Gr\xC3\xBC\xC3\x9F Gott", "\xE6\x97\xA5\xE6\x9C\xAC",
        "\xF0\x9F\x98\x80", "C:\\x1b is a text with a backslash"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, ShowsWhatATerminalWouldObey) {
  EXPECT_EQ(printable("\x1b[2J\x1b]0;title\x07"), "\\x1b[2J\\x1b]0;title\\x07");
  EXPECT_EQ(printable(std::string("a\0b\x7f", 4)), "a\\x00b\\x7f");
  EXPECT_EQ(printable("\xC2\x9B"
                      "31m"),
            "\\x9b31m")
      << "CSI as one character of C1";
  EXPECT_EQ(printable("file\xE2\x80\xAE"
                      "5h.exe"),
            "file\\u202e5h.exe")
      << "right to left";
  EXPECT_EQ(printable("\xE2\x81\xA6\xE2\x80\xA8"), "\\u2066\\u2028");
}

TEST(Printable, KeepsALineOneLineUnlessAskedTo) {
  EXPECT_EQ(printable("a\nrank 0 error: forged\r\tb"), "a\\nrank 0 error: forged\\r\\tb");
  EXPECT_EQ(printable("a\n\tb\r\x1b", Breaks::kept), "a\n\tb\\r\\x1b");
}

TEST(Printable, ShowsBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("\xff\xc3("), "\\xff\\xc3(");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(printable("\xc0\xaf \xe2\x82"), "\\xc0\\xaf \\xe2\\x82") << "too long; cut short";
}

TEST(IsUtf8, IsTheTableOfTheStandard) {
  for (const char* const good : {"", "a", "\xc2\x80", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                 "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(is_utf8(good)) << good;
  }
  for (const char* const bad :
       {"\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(bad)) << bad;
  }
}

}  // namespace
}  // namespace gridmill
