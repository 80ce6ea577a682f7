// Proves on small made-up trees that the check of standard headers can fail.
#include "architecture/standard_headers.hpp"

#include <gtest/gtest.h>

#include <string>

#include "support/temporary_folder.hpp"

namespace gridmill::architecture {
namespace {

/// A tree of one source file; tests say what it holds.
class StandardHeaders : public ::testing::Test {
 protected:
  /// The violations of `text` as src/base/one.cpp, one behind the other.
  std::string violations_of(const std::string& text) {
    tree_.write("src/base/one.cpp", text);
    std::string joined;
    for (const std::string& violation : check_standard_headers(tree_.path(), names_)) {
      joined += violation + "\n";
    }
    return joined;
  }
  void header(const std::string& path, const std::string& text) { tree_.write(path, text); }

 private:
  test::TemporaryFolder tree_;
  StandardNames names_ = read_standard_names(std::string(GRIDMILL_SOURCE_DIR) +
                                             "/tests/architecture/standard_headers.txt");
};

TEST_F(StandardHeaders, ANameNeedsItsHeader) {
  EXPECT_EQ(violations_of("#include <vector>\nstd::vector<std::string> names;\n"),
            "src/base/one.cpp:2: std::string needs <string>\n");
}

TEST_F(StandardHeaders, AHeaderOfTheTreeHandsItsOwnOn) {
  header("include/gridmill/base/names.hpp", "#include <string>\n");
  header("src/base/more.hpp", "#include \"gridmill/base/names.hpp\"\n");
  EXPECT_EQ(violations_of("#include \"base/more.hpp\"\nstd::string name;\n"), "");
}

TEST_F(StandardHeaders, EveryHeaderOfANameWillDo) {
  EXPECT_EQ(violations_of("#include <cstdio>\nstd::size_t count;\n"), "");
  EXPECT_EQ(violations_of("#include <vector>\nstd::vector<int> v = {1};\nauto e = std::end(v);\n"),
            "");
}

TEST_F(StandardHeaders, AListInBracesBehindForNeedsInitializerList) {
  const std::string loop = "void f() {\n  for (const int i :\n       {1, 2}) g(i);\n}\n";
  EXPECT_NE(violations_of("#include <cerrno>\n" + loop).find("one.cpp:3: std::initializer_list"),
            std::string::npos);
  EXPECT_EQ(violations_of("#include <initializer_list>\n" + loop), "");
  EXPECT_EQ(violations_of("void f() { for (int i = 0; g(A::b, i); ++i) {} }\n"), "");
}

TEST_F(StandardHeaders, FunctionsOfPosixAndMacrosNeedTheirs) {
  EXPECT_EQ(violations_of("int x = ::getpid();\n"),
            "src/base/one.cpp:1: ::getpid needs <unistd.h>\n");
  EXPECT_EQ(violations_of("bool b = errno == 0;\n"),
            "src/base/one.cpp:1: errno needs <cerrno> or <errno.h>\n");
  EXPECT_EQ(violations_of("bool b = Error::open(1) || other::close(2);\n"), "");
}

TEST_F(StandardHeaders, NamespacesCountAsAWhole) {
  EXPECT_EQ(violations_of("std::chrono::seconds s;\n"),
            "src/base/one.cpp:1: std::chrono:: needs <chrono>\n");
}

TEST_F(StandardHeaders, CommentsAndLiteralsSayNothing) {
  EXPECT_EQ(violations_of("// std::string\n/* std::vector\n */ int i = 1'000; char c = '\"';\n"
                          "const char* a = \"std::map \\\" ::open(\"; auto b = R\"(std::set)\";\n"),
            "");
}

TEST_F(StandardHeaders, ANameOfStdThatNobodyListedIsRefused) {
  EXPECT_EQ(violations_of("std::flat_map<int, int> m;\n"),
            "src/base/one.cpp:1: std::flat_map has no line in standard_headers.txt; add one\n");
}

}  // namespace
}  // namespace gridmill::architecture
