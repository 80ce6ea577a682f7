#include "gridmill/records/row_fields.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"

namespace gridmill {
namespace {

TEST(RowFields, StandInTheOrderOfTheirNumbers) {
  for (std::size_t i = 0; i < row_fields().size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(row_fields()[i].field), i);
    EXPECT_EQ(&info_of(row_fields()[i].field), &row_fields()[i]);
  }
}

TEST(RowFields, AreAllDocumented) {
  const std::string page =
      read_text_file(std::string(GRIDMILL_SOURCE_DIR) + "/docs/formats/export.md");
  const std::string table = page.substr(page.find("## Fields"), page.find("## Formats"));
  for (const RowFieldInfo& info : row_fields()) {
    EXPECT_NE(table.find(std::string("`").append(info.name).append("`")), std::string::npos)
        << info.name;
  }
}

TEST(RowFields, AreReadWithTheirNewNames) {
  const std::vector<NamedField> fields = parse_row_fields("text,n=completion_tokens");
  ASSERT_EQ(fields.size(), 2U);
  EXPECT_EQ(fields[0].name, "text");
  EXPECT_EQ(fields[1].name, "n");
  EXPECT_EQ(fields[1].field, RowField::completion_tokens);
  for (const char* bad : {"", "text,", "nope", "=text", "a=", "text,text", "a=text,a=tokens"}) {
    EXPECT_THROW(static_cast<void>(parse_row_fields(bad)), UsageError) << bad;
  }
}

}  // namespace
}  // namespace gridmill
