// Every jobs/*.cfg runs as it is: by the commands in its own first lines, in a copy of the tree's
// layout.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/results/result_file.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> examples() {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(GRIDMILL_SOURCE_DIR "/jobs")) {
    if (entry.path().extension() == ".cfg") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// The indented comment lines of a job file: commands.
std::vector<std::string> commands_of(const std::string& text) {
  const std::string indent = "#   ";
  std::vector<std::string> commands;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(indent, 0) == 0) commands.push_back(line.substr(indent.size()));
  }
  return commands;
}

/// What follows "output = ".
std::string output_of(const std::string& text) {
  const std::string key = "\noutput = ";
  const std::size_t at = text.find(key) + key.size();
  return text.substr(at, text.find('\n', at) - at);
}

class JobExample : public ::testing::TestWithParam<std::string> {
 protected:
  JobExample() {
    for (const char* name : {"jobs", "models"}) {
      fs::create_directory_symlink(fs::path(GRIDMILL_SOURCE_DIR) / name, folder_.file(name));
    }
    fs::create_directory(folder_.file("out"));
    fs::create_directory(folder_.file("bin"));
    fs::create_symlink(GRIDMILL_PROGRAM, folder_.file("bin/gridmill"));
    fs::create_symlink(GRIDMILL_LAUNCH, folder_.file("bin/mpirun"));
  }
  /// As a user types it who has gridmill and mpirun in the path.
  test::ProgramResult shell(const std::string& command) const {
    return test::run_program({"sh", "-c", "PATH=\"$0:$PATH\"; " + command, folder_.file("bin")},
                             folder_.path());
  }
  test::TemporaryFolder folder_;
};

TEST_P(JobExample, RunsByTheCommandsThatItNames) {
  const std::string text = read_text_file(GetParam());
  const std::vector<std::string> commands = commands_of(text);
  ASSERT_GE(commands.size(), 2U) << "a conversion and a run";
  for (const std::string& command : commands) {
    const test::ProgramResult result = shell(command);
    ASSERT_EQ(result.exit_code, 0) << command << "\n" << result.err;
  }
  const ResultFile file = ResultFile::open(folder_.file(output_of(text)));
  ASSERT_GT(file.layout().shape.rows, 0U);
  for (RowId row = 0; row < file.layout().shape.rows; ++row) {
    const StoredRow stored = file.read_row(row);
    EXPECT_EQ(stored.record.status, static_cast<std::uint16_t>(RowStatus::done)) << row;
    EXPECT_GT(stored.tokens.size(), stored.record.prefix_length) << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Jobs, JobExample, ::testing::ValuesIn(examples()),
                         [](const auto& instance) {
                           return fs::path(instance.param).stem().string();
                         });

TEST(JobExamples, Exist) { EXPECT_GE(examples().size(), 3U); }

}  // namespace
}  // namespace gridmill
