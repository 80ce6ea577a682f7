#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <ios>
#include <string>

#include "cli/cli_fixture.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;

TEST(InspectCheck, NamesTheParameterThatDiffers) {
  const std::string path = cli().file("changed.h5");
  std::filesystem::copy_file(cli().file("stories.h5"), path,
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(cli().run({"inspect", "changed.h5", "--check"}).exit_code, 0);
  const CheckpointFile file = CheckpointFile::open(path);
  const StoredParameter& parameter = file.parameters().back();
  std::fstream raw(path, std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(static_cast<std::streamoff>(parameter.offset + 2));
  raw.put('\x55');
  raw.close();
  const ProgramResult result = cli().run({"inspect", "changed.h5", "--check"});
  EXPECT_EQ(result.exit_code, 65);
  EXPECT_NE(result.err.find(parameter.spec.name), std::string::npos) << result.err;
  EXPECT_EQ(cli().run({"inspect", "changed.h5"}).exit_code, 0) << "no parameter is read without it";
}

TEST(InspectCheck, IsForCheckpoints) {
  ASSERT_EQ(cli().generate({"--max-new-tokens", "2"}).exit_code, 0);
  EXPECT_EQ(cli().run({"inspect", "out.h5", "--check"}).exit_code, 64);
}

}  // namespace
}  // namespace gridmill
