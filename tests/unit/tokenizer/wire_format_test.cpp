#include <gtest/gtest.h>

#include "gridmill/base/error.hpp"
#include "tokenizer/wire_format_detail.hpp"

namespace gridmill::tokenizer_detail {
namespace {

using namespace std::string_view_literals;

TEST(WireReader, ReadsEachKindOfField) {
  WireReader reader(
      "\x08\x96\x01"      // field 1: 150
      "\x12\x02hi"        // field 2: "hi"
      "\x1D\0\0\x80\x3F"  // field 3: 1.0F
      "\x21\1\0\0\0\0\0\0\0"sv,
      "test");
  EXPECT_EQ(reader.integer(*reader.next()), 150);
  EXPECT_EQ(reader.bytes(*reader.next()), "hi");
  EXPECT_EQ(reader.real(*reader.next()), 1.0F);
  EXPECT_EQ(reader.next()->value, 1U);
  EXPECT_EQ(reader.next(), std::nullopt);
}

TEST(WireReader, NegativeNumbersHaveTenBytes) {
  WireReader reader("\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv, "test");
  EXPECT_EQ(reader.integer(*reader.next()), -1);
}

TEST(WireReader, RefusesMessagesThatBreakOff) {
  for (const std::string_view message :
       {"\x08"sv, "\x08\x80"sv, "\x12\x05hi"sv, "\x1D\0\0"sv, "\x21\0"sv, "\x80"sv,
        "\x12\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv,
        "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"sv}) {
    WireReader reader(message, "test");
    EXPECT_THROW(static_cast<void>(reader.next()), FormatError);
  }
}

TEST(WireReader, RefusesFieldNumberZeroAndGroups) {
  for (const std::string_view message : {"\0\1"sv, "\x0B"sv, "\x0F\0"sv}) {
    WireReader reader(message, "test");
    EXPECT_THROW(static_cast<void>(reader.next()), FormatError);
  }
}

TEST(WireReader, RefusesAFieldOfAnotherType) {
  WireReader reader("\x08\x01"sv, "test");
  const WireField field = *reader.next();
  EXPECT_THROW(static_cast<void>(reader.bytes(field)), FormatError);
  EXPECT_THROW(static_cast<void>(reader.real(field)), FormatError);
}

}  // namespace
}  // namespace gridmill::tokenizer_detail
