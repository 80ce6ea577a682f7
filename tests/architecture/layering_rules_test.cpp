// Proves on small made-up trees that every rule of the layering test can fail.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "architecture/layering.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::architecture {
namespace {

using ::testing::Test;

/// A tree of two modules that breaks no rule; tests add one violation.
class LayeringRules : public Test {
 protected:
  LayeringRules() {
    tree_.write("docs/architecture.md",
                "# Architecture\n"
                "```deps\n"
                "base:\n"
                "grid:  base\n"
                "model: base\n"
                "cli:   base grid model\n"
                "```\n"
                "```homes\n"
                "mpi.h: grid\n"
                "json/: base/json\n"
                "```\n"
                "## Public headers\n"
                "| Header | What |\n"
                "|---|---|\n"
                "| `base/json.hpp` | values |\n"
                "## Next\n");
    tree_.write("include/gridmill/base/json.hpp", "#pragma once\n#include <json/json.h>\n");
    module("base", "");
    module("grid", "DEPS base");
    module("model", "SOURCES model.cpp DEPS base PRIVATE_LIBS fmt::fmt");
    module("cli", "DEPS base grid\n  model");
    tree_.write("src/main.cpp", "#include \"gridmill/cli/run.hpp\"\n");
    tree_.write("src/grid/grid.cpp", "#include <mpi.h>\n#include \"grid/grid_detail.hpp\"\n");
    tree_.write("src/model/model.cpp", "#include <vector>\n#include \"gridmill/base/json.hpp\"\n");
  }

  void module(const std::string& name, const std::string& arguments) {
    tree_.write("src/" + name + "/CMakeLists.txt",
                "gridmill_add_module(" + name + "\n  " + arguments + ")\n");
  }
  void source(const std::string& path, const std::string& text) { tree_.write(path, text); }

  [[nodiscard]] Rules rules() const { return read_rules(tree_.path()); }
  [[nodiscard]] Violations all() const {
    Violations violations = check_deps_order(rules());
    for (const Violations& more :
         {check_includes(tree_.path(), rules()), check_cmake_deps(tree_.path(), rules()),
          check_homes(tree_.path(), rules()), check_file_length(tree_.path(), 600),
          check_header_table(tree_.path()), check_build_files(tree_.path())}) {
      violations.insert(violations.end(), more.begin(), more.end());
    }
    return violations;
  }

  test::TemporaryFolder tree_;
};

TEST_F(LayeringRules, AGoodTreeHasNoViolation) { EXPECT_EQ(all(), Violations()); }

TEST_F(LayeringRules, ANameUsedAboveItsListingIsFound) {
  Rules rules;
  rules.modules = {"grid", "base"};
  rules.deps = {{"grid", {"base"}}, {"base", {}}};
  EXPECT_EQ(check_deps_order(rules),
            Violations{"deps block: grid uses base, which is not listed above it"});
}

TEST_F(LayeringRules, AModuleListedTwiceIsFound) {
  Rules rules;
  rules.modules = {"base", "base"};
  rules.deps = {{"base", {}}};
  EXPECT_EQ(check_deps_order(rules), Violations{"deps block lists base twice"});
}

TEST_F(LayeringRules, AModuleThatUsesItselfIsFound) {
  Rules rules;
  rules.modules = {"base"};
  rules.deps = {{"base", {"base"}}};
  EXPECT_EQ(check_deps_order(rules).size(), 1U);
}

TEST_F(LayeringRules, AnIncludeOfAModuleNotListedIsFound) {
  source("src/model/model.cpp", "\n#include \"gridmill/grid/grid.hpp\"\n");
  EXPECT_EQ(all(), Violations{"src/model/model.cpp:2: model may not use grid "
                              "(gridmill/grid/grid.hpp)"});
}

TEST_F(LayeringRules, APublicHeaderIsHeldToTheSameList) {
  source("include/gridmill/base/json.hpp", "#include \"gridmill/model/model.hpp\"\n");
  EXPECT_EQ(all(), Violations{"include/gridmill/base/json.hpp:1: base may not use model "
                              "(gridmill/model/model.hpp)"});
}

TEST_F(LayeringRules, MainMayUseTheCommandsOnly) {
  source("src/main.cpp", "#include \"gridmill/base/json.hpp\"\n");
  EXPECT_EQ(all(), Violations{"src/main.cpp:1: main may not use base (gridmill/base/json.hpp)"});
}

TEST_F(LayeringRules, AnotherModulesPrivateHeaderIsRefused) {
  source("src/cli/run.cpp", "#include \"grid/grid_detail.hpp\"\n");
  EXPECT_EQ(all(), Violations{"src/cli/run.cpp:1: grid/grid_detail.hpp is private to grid"});
}

TEST_F(LayeringRules, APublicHeaderMayNotIncludeAPrivateOne) {
  source("include/gridmill/base/json.hpp", "#include \"base/json_detail.hpp\"\n");
  EXPECT_EQ(all(), Violations{"include/gridmill/base/json.hpp:1: a public header includes "
                              "base/json_detail.hpp, which is not installed"});
}

TEST_F(LayeringRules, AnIncludeWithoutAModuleIsANeighbourOrRefused) {
  source("src/grid/grid.cpp", "#include \"grid_detail.hpp\"\n");
  EXPECT_EQ(all(), Violations{"src/grid/grid.cpp:1: grid_detail.hpp names no module and is not "
                              "next to the file"});
  source("src/grid/grid_detail.hpp", "#pragma once\n");
  EXPECT_EQ(all(), Violations());
}

TEST_F(LayeringRules, OurHeadersInAngleBracketsAreRefused) {
  source("src/grid/grid.cpp", "#include <gridmill/base/json.hpp>\n");
  EXPECT_FALSE(check_includes(tree_.path(), rules()).empty());
}

TEST_F(LayeringRules, IncludesInCommentsDoNotCount) {
  source("src/model/model.cpp",
         "// #include <mpi.h>\n/* text\n#include <mpi.h>\n*/\n#include <vector>\n");
  EXPECT_EQ(all(), Violations());
}

TEST_F(LayeringRules, AMissingLinkDependencyIsFound) {
  module("grid", "SOURCES grid.cpp");
  EXPECT_EQ(all(), Violations{"src/grid/CMakeLists.txt: DEPS lacks base, which the deps block "
                              "lists"});
}

TEST_F(LayeringRules, ALinkDependencyTooManyIsFound) {
  module("model", "DEPS base grid LIBS MPI::MPI_C");
  EXPECT_EQ(all(), Violations{"src/model/CMakeLists.txt: DEPS has grid, which the deps block does "
                              "not list"});
}

TEST_F(LayeringRules, AListedModuleWithoutBuildFileIsFound) {
  std::filesystem::remove(tree_.path() / "src" / "cli" / "CMakeLists.txt");
  EXPECT_EQ(all(), Violations{"src/cli/CMakeLists.txt is missing, although the deps block lists "
                              "cli"});
}

TEST_F(LayeringRules, AFolderThatIsNoModuleIsFound) {
  source("src/extras/extra.cpp", "\n");
  EXPECT_EQ(all().size(), 2U);  // the folder and the file in it
}

TEST_F(LayeringRules, AThirdPartyHeaderAwayFromHomeIsFound) {
  source("src/model/model.cpp", "#include <mpi.h>\n");
  EXPECT_EQ(all(), Violations{"src/model/model.cpp:1: <mpi.h> is at home in grid only"});
}

TEST_F(LayeringRules, AHomeThatIsAFileCoversItsSourceButNotItsNeighbour) {
  source("src/base/json.cpp", "#include <json/json.h>\n");
  EXPECT_EQ(all(), Violations());
  source("src/base/jsonl.cpp", "#include <json/json.h>\n");
  EXPECT_EQ(all(), Violations{"src/base/jsonl.cpp:1: <json/json.h> is at home in base/json only"});
}

TEST_F(LayeringRules, ALibraryWithoutAHomeIsRefused) {
  source("src/grid/grid.cpp", "#include <zlib.h>\n");
  EXPECT_EQ(all(), Violations{"src/grid/grid.cpp:1: <zlib.h> has no home in docs/architecture.md"});
}

TEST_F(LayeringRules, SystemHeadersHaveNoHome) {
  source("src/model/model.cpp", "#include <fcntl.h>\n#include <sys/mman.h>\n#include <span>\n");
  EXPECT_EQ(all(), Violations());
}

TEST_F(LayeringRules, ALongFileIsFound) {
  const auto text = [](int lines) {
    std::string content;
    for (int i = 0; i < lines; ++i) content += "//\n";
    return content;
  };
  source("tests/unit/long_test.cpp", text(600));
  source("models/data.json", text(601));
  EXPECT_EQ(all(), Violations());
  source("tests/unit/long_test.cpp", text(601));
  EXPECT_EQ(all(), Violations{"tests/unit/long_test.cpp has 601 lines, the limit is 600"});
}

TEST_F(LayeringRules, APublicHeaderWithoutRowIsFound) {
  source("include/gridmill/grid/grid.hpp", "#pragma once\n");
  EXPECT_EQ(all(), Violations{"docs/architecture.md, Public headers: no row for grid/grid.hpp"});
}

TEST_F(LayeringRules, ARowWithoutHeaderIsFound) {
  std::filesystem::remove(tree_.path() / "include" / "gridmill" / "base" / "json.hpp");
  EXPECT_EQ(all(),
            Violations{"docs/architecture.md, Public headers: base/json.hpp does not exist"});
}

TEST_F(LayeringRules, ACpuInTheBuildFilesIsFound) {
  source("cmake/Flags.cmake", "set(flags -O2\n  -march=native)\n");
  EXPECT_EQ(all(), Violations{"cmake/Flags.cmake:2: -march is not allowed in the build"});
}

TEST_F(LayeringRules, ADownloadInTheBuildFilesIsFound) {
  source("tests/CMakeLists.txt", "include(FetchContent)\n");
  EXPECT_EQ(all(), Violations{"tests/CMakeLists.txt:1: FetchContent is not allowed in the build"});
}

TEST_F(LayeringRules, ADocumentWithoutBlockIsAnError) {
  tree_.write("docs/architecture.md", "# Architecture\n");
  EXPECT_THROW(rules(), std::runtime_error);
}

}  // namespace
}  // namespace gridmill::architecture
