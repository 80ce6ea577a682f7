#include "gridmill/output/output_target.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

/// A folder with an input and everything that an output could be.
class OutputTargetTest : public ::testing::Test {
 protected:
  OutputTargetTest() {
    folder_.write("in.jsonl", "{}\n");
    folder_.write("old.txt", "old");
    write_h5("results.h5", "gridmill-results");
    write_h5("model.h5", "gridmill-checkpoint");
    write_h5("foreign.h5", "");
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }
  void write_h5(const std::string& name, const std::string& format) const {
    h5::File created = h5::File::create(file(name));
    if (!format.empty()) created.write_text_attribute("/", "format", format);
    created.close();
  }
  [[nodiscard]] OutputTarget decide(const std::string& name, OutputUse use,
                                    const std::string& format = {}) const {
    return OutputTarget::decide(file(name), {.name = "--output",
                                             .use = use,
                                             .format = format,
                                             .inputs = {{"--prompts", file("in.jsonl")},
                                                        {"--model", file("model.h5")},
                                                        {"--none", ""},
                                                        {"SRC", file("source")}},
                                             .side_files = {".lock"}});
  }
  [[nodiscard]] ExitCode code_of(const std::string& name, OutputUse use,
                                 const std::string& format = {}) const {
    try {
      static_cast<void>(decide(name, use, format));
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::ok;
  }

  TemporaryFolder folder_;
};

TEST_F(OutputTargetTest, AnInputIsNoOutputByAnyName) {
  fs::create_symlink("in.jsonl", file("symbolic"));
  fs::create_hard_link(file("in.jsonl"), file("hard"));
  fs::create_directories(folder_.path() / "sub");
  for (const char* name : {"in.jsonl", "./in.jsonl", "sub/../in.jsonl", "symbolic", "hard"}) {
    for (const OutputUse use : {OutputUse::replaced, OutputUse::continued, OutputUse::appended}) {
      EXPECT_EQ(code_of(name, use), ExitCode::usage) << name;
    }
  }
}

TEST_F(OutputTargetTest, AFileOfAnInputFolderIsNoOutput) {
  folder_.write("source/config.json", "{}");
  folder_.write("blobs/weights", "numbers");
  fs::create_symlink("../blobs/weights", file("source/model.safetensors"));
  EXPECT_EQ(code_of("source/config.json", OutputUse::replaced), ExitCode::usage);
  EXPECT_EQ(code_of("blobs/weights", OutputUse::replaced), ExitCode::usage);
  EXPECT_EQ(code_of("source/new.h5", OutputUse::replaced), ExitCode::ok);
}

TEST_F(OutputTargetTest, WhatIsKeptBesideTheOutputIsNoInputEither) {
  folder_.write("out.lock", "prompts with an odd name");
  const OutputRules rules{.name = "--output",
                          .use = OutputUse::continued,
                          .format = {},
                          .inputs = {{"--prompts", file("out.lock")}},
                          .side_files = {".lock"}};
  EXPECT_THROW(static_cast<void>(OutputTarget::decide(file("out"), rules)), UsageError);
}

TEST_F(OutputTargetTest, TwoOutputsThatDoNotExistYetAreComparedByPlace) {
  fs::create_symlink("new.h5", file("link"));
  const auto rules = [this](const std::string& other) {
    return OutputRules{.name = "--metrics",
                       .use = OutputUse::appended,
                       .format = {},
                       .inputs = {{"--output", file(other)}},
                       .side_files = {}};
  };
  EXPECT_THROW(static_cast<void>(OutputTarget::decide(file("link"), rules("./new.h5"))),
               UsageError);
  EXPECT_NO_THROW(static_cast<void>(OutputTarget::decide(file("link"), rules("else.h5"))));
}

TEST_F(OutputTargetTest, DataOfOthersAreNotDestroyed) {
  for (const char* name : {"results.h5", "foreign.h5"}) {
    EXPECT_EQ(code_of(name, OutputUse::replaced), ExitCode::output_refused) << name;
    EXPECT_EQ(code_of(name, OutputUse::appended), ExitCode::output_refused) << name;
    EXPECT_EQ(code_of(name, OutputUse::replaced, "gridmill-checkpoint"), ExitCode::output_refused)
        << name;
  }
  write_h5("other-model.h5", "gridmill-checkpoint");
  EXPECT_EQ(code_of("other-model.h5", OutputUse::continued, "gridmill-results"),
            ExitCode::output_refused);
}

TEST_F(OutputTargetTest, ACommandsOwnKindOfFileIsReplacedOrContinued) {
  EXPECT_EQ(code_of("results.h5", OutputUse::replaced, "gridmill-results"), ExitCode::ok);
  EXPECT_EQ(code_of("results.h5", OutputUse::continued, "gridmill-results"), ExitCode::ok);
  EXPECT_EQ(code_of("old.txt", OutputUse::replaced), ExitCode::ok);
  EXPECT_EQ(code_of("old.txt", OutputUse::appended), ExitCode::ok);
  EXPECT_EQ(code_of("new.h5", OutputUse::replaced, "gridmill-results"), ExitCode::ok);
}

TEST_F(OutputTargetTest, AResultFileWithTwoNamesIsNotContinued) {
  fs::create_hard_link(file("results.h5"), file("same.h5"));
  EXPECT_EQ(code_of("same.h5", OutputUse::continued, "gridmill-results"), ExitCode::output_refused);
}

TEST_F(OutputTargetTest, LinksAreFollowedAlsoToNothing) {
  fs::create_directories(folder_.path() / "scratch");
  fs::create_symlink("scratch/x.jsonl", file("x.jsonl"));
  const OutputTarget target = decide("x.jsonl", OutputUse::replaced);
  EXPECT_EQ(target.path(), file("scratch/x.jsonl"));
  EXPECT_FALSE(target.is_stream());
}

TEST_F(OutputTargetTest, FoldersAndPlacesOutOfReachAreRefused) {
  fs::create_directories(folder_.path() / "sub");
  EXPECT_EQ(code_of("sub", OutputUse::replaced), ExitCode::output_refused);
  EXPECT_EQ(code_of("old.txt/x", OutputUse::replaced), ExitCode::output_refused);
}

TEST_F(OutputTargetTest, StreamsTakeTextAndRefuseHdf5) {
  ASSERT_EQ(::mkfifo(file("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(decide("fifo", OutputUse::replaced).is_stream());
  EXPECT_EQ(code_of("fifo", OutputUse::replaced, "gridmill-scores"), ExitCode::usage);
  EXPECT_EQ(code_of("fifo", OutputUse::continued, "gridmill-results"), ExitCode::usage);
  for (const char* device : {"/dev/null", "/dev/stdout", "/dev/fd/1"}) {
    const OutputTarget target =
        OutputTarget::decide(device, {.name = "-o", .format = {}, .inputs = {}, .side_files = {}});
    EXPECT_TRUE(target.is_stream()) << device;
    EXPECT_TRUE(target.open_stream().valid()) << device;
    EXPECT_THROW(
        static_cast<void>(OutputTarget::decide(
            device, {.name = "-o", .format = "gridmill-scores", .inputs = {}, .side_files = {}})),
        UsageError)
        << device;
  }
}

}  // namespace
}  // namespace gridmill
