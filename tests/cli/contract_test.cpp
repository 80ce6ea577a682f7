// Holds `--help` and the list of option tests against the tables of docs/cli.md.

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::slurp;

using Options = std::set<std::string>;

/// Every --option in `text`.
Options options_in(const std::string& text) {
  static const std::regex kOption("--([a-z][a-z0-9-]*)");
  Options found;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), kOption);
       match != std::sregex_iterator(); ++match) {
    found.insert((*match)[1]);
  }
  return found;
}

/// First cells of the table rows between the line that begins with `heading` and the next heading.
std::vector<std::string> first_cells(const std::string& heading) {
  std::istringstream page(slurp(std::string(GRIDMILL_SOURCE_DIR) + "/docs/cli.md"));
  std::vector<std::string> cells;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("## ", 0) == 0) inside = line.rfind(heading, 0) == 0;
    if (!inside || line.rfind("| `", 0) != 0) continue;
    // A bar inside a cell is written \|.
    std::size_t end = 2;
    while (end < line.size() && (line[end] != '|' || line[end - 1] == '\\')) ++end;
    cells.push_back(line.substr(2, end - 2));
  }
  return cells;
}

Options documented_generate_options() {
  Options options;
  for (const std::string& cell : first_cells("## gridmill generate")) {
    options.merge(options_in(cell));
  }
  return options;
}

/// What `gridmill COMMAND --help` lists: the options at the start of its lines.
Options listed(const std::string& command) {
  const test::ProgramResult help = cli().run({command, "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.out.rfind("Example: ", 0), 0U) << "help begins with an example";
  Options options;
  std::istringstream lines(help.out);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find("--");
    if (line.rfind("  ", 0) == 0 && dash != std::string::npos && dash < 8) {
      const Options first = options_in(line.substr(dash, line.find(' ', dash) - dash));
      options.insert(first.begin(), first.end());
    }
  }
  options.erase("help");
  return options;
}

TEST(Contract, GenerateListsExactlyTheDocumentedOptions) {
  Options documented = documented_generate_options();
  ASSERT_GT(documented.size(), 30U) << "the table of docs/cli.md was not found";
  documented.insert("config");  // named in the text above the table
  EXPECT_EQ(listed("generate"), documented);
}

TEST(Contract, EveryGenerateOptionHasATestThatObservesIt) {
  Options tested;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  for (int i = 0; i < all.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *all.GetTestSuite(i);
    if (std::string(suite.name()) != "GenerateOption") continue;
    for (int j = 0; j < suite.total_test_count(); ++j) {
      std::string name = suite.GetTestInfo(j)->name();
      std::replace(name.begin(), name.end(), '_', '-');
      tested.insert(name);
    }
  }
  EXPECT_EQ(tested, listed("generate"));
}

TEST(Contract, OtherCommandsListExactlyTheDocumentedOptions) {
  const std::regex command_name("`gridmill ([a-z]+)");
  std::map<std::string, Options> documented;
  for (const std::string& cell : first_cells("## Other commands")) {
    std::smatch name;
    ASSERT_TRUE(std::regex_search(cell, name, command_name)) << cell;
    documented[name[1]] = options_in(cell);
  }
  ASSERT_FALSE(documented.empty());
  Options shared = {"model",
                    "dp",
                    "fsdp",
                    "tp",
                    "gather-params-once",
                    "fsdp-min-weight-size",
                    "param-dtype",
                    "compute-dtype",
                    "backend",
                    "kernel-target",
                    "share-gpu",
                    "slots",
                    "threads",
                    "log-level"};
  const Options of_records = {
      "prompt-field", "messages-field",    "template",       "system",
      "few-shot",     "chat-template",     "template-vars",  "continue-final-message",
      "chat-time",    "max-prompt-tokens", "truncate-prompt"};
  for (auto& [command, options] : documented) {
    if (command == "score" || command == "render" || command == "tokenize") {
      options.insert(of_records.begin(), of_records.end());
    }
    if (command == "score") {
      options.insert({"config", "resume", "allow-failed-rows", "retry-failed", "commit-interval",
                      "time-limit", "progress", "metrics", "part"});
    }
    if (command == "plan") {
      options.merge(documented_generate_options());
      options.insert("config");
    }
    if (command == "verify" || command == "score") options.insert(shared.begin(), shared.end());
    EXPECT_EQ(listed(command), options) << command;
  }
}

TEST(Contract, HelpNamesExactlyTheDocumentedCommands) {
  std::set<std::string> documented = {"generate"};
  for (const std::string& cell : first_cells("## Other commands")) {
    documented.insert(cell.substr(10, cell.find(' ', 10) - 10));
  }
  std::set<std::string> named;
  std::istringstream help(cli().run({"--help"}).out);
  for (std::string line; std::getline(help, line);) {
    if (line.rfind("  ", 0) == 0 && line.rfind("  --", 0) != 0) {
      named.insert(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  EXPECT_EQ(named, documented);
}

TEST(Contract, VersionNamesWhatItIsBuiltOn) {
  const std::string text = cli().run({"--version"}).out;
  for (const char* part :
       {"gridmill ", "compiler:", "MPI:", "HDF5:", "CUDA:", "NCCL:", "kernels:"}) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  }
}

TEST(Contract, UnknownWordsAreUsageErrorsOfOneLine) {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"fly"}, {"generate", "--top-k", "5"}, {}, {"status"}}) {
    const test::ProgramResult result = cli().run(arguments);
    EXPECT_EQ(result.exit_code, 64);
    EXPECT_EQ(result.err.rfind("gridmill: error: ", 0), 0U) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

}  // namespace
}  // namespace gridmill
