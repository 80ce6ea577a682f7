// The example jobs use options that exist: each gets as far as looking for its model.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

constexpr int kUsage = 64;
constexpr int kMissingInput = 66;

std::vector<std::string> examples() {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(GRIDMILL_SOURCE_DIR "/jobs")) {
    if (entry.path().extension() == ".cfg") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

class JobExample : public ::testing::TestWithParam<std::string> {
 protected:
  /// Runs `generate` in an empty folder, where no example finds its model.
  test::ProgramResult generate(const std::string& config) const {
    return test::run_program({GRIDMILL_PROGRAM, "generate", "--config", config}, folder_.path());
  }
  test::TemporaryFolder folder_;
};

TEST_P(JobExample, Parses) {
  const test::ProgramResult result = generate(GetParam());
  EXPECT_EQ(result.exit_code, kMissingInput) << result.err;
}

TEST_P(JobExample, WithAnUnknownOptionDoesNot) {
  const std::string text = read_text_file(GetParam()) + "\nno-such-option = 1\n";
  const test::ProgramResult result = generate(folder_.write("broken.cfg", text));
  EXPECT_EQ(result.exit_code, kUsage) << result.err;
}

INSTANTIATE_TEST_SUITE_P(Jobs, JobExample, ::testing::ValuesIn(examples()),
                         [](const auto& instance) {
                           return fs::path(instance.param).stem().string();
                         });

TEST(JobExamples, Exist) { EXPECT_FALSE(examples().empty()); }

}  // namespace
}  // namespace gridmill
