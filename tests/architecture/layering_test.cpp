// Holds the tree to docs/architecture.md.
#include "architecture/layering.hpp"

#include <gtest/gtest.h>

#include <string>

#include "architecture/standard_headers.hpp"

namespace gridmill::architecture {
namespace {

const char* const kRoot = GRIDMILL_SOURCE_DIR;

/// All violations, one a line: what a failing test prints.
std::string joined(const Violations& violations) {
  std::string text;
  for (const std::string& violation : violations) text += "\n  " + violation;
  return text;
}

TEST(Layering, DepsBlockListsNamesAboveTheirUse) {
  EXPECT_EQ(joined(check_deps_order(read_rules(kRoot))), "");
}

TEST(Layering, ModulesIncludeOnlyWhatIsListedForThem) {
  EXPECT_EQ(joined(check_includes(kRoot, read_rules(kRoot))), "");
}

TEST(Layering, LinkLinesRepeatTheDepsBlock) {
  EXPECT_EQ(joined(check_cmake_deps(kRoot, read_rules(kRoot))), "");
}

TEST(Layering, ThirdPartyHeadersStayAtHome) {
  EXPECT_EQ(joined(check_homes(kRoot, read_rules(kRoot))), "");
}

TEST(Layering, NoFileIsLongerThan600Lines) { EXPECT_EQ(joined(check_file_length(kRoot, 600)), ""); }

TEST(Layering, EveryPublicHeaderIsDescribed) { EXPECT_EQ(joined(check_header_table(kRoot)), ""); }

TEST(Layering, BuildFilesFixNoCpuAndNeedNoNetwork) {
  EXPECT_EQ(joined(check_build_files(kRoot)), "");
}

TEST(Layering, StandardHeadersAreIncludedWhereTheyAreUsed) {
  const StandardNames names =
      read_standard_names(std::string(kRoot) + "/tests/architecture/standard_headers.txt");
  EXPECT_EQ(joined(check_standard_headers(kRoot, names)), "");
}

}  // namespace
}  // namespace gridmill::architecture
