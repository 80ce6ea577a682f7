// What an output may be, for every command that writes.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

/// A finished result file out.h5, and nothing else of an earlier test.
class Outputs : public ::testing::Test {
 protected:
  Outputs() {
    EXPECT_EQ(cli().generate({}).exit_code, 0);
    fs::create_directories(cli().file("scratch"));
    for (const char* name : {"link", "hard.h5", "new", "scratch/x", "scratch/x.lock",
                             "scratch/x.runs.jsonl", "fifo", "null"}) {
      fs::remove(cli().file(name));
    }
  }
  static void link(const std::string& target, const std::string& name) {
    fs::create_symlink(target, cli().file(name));
  }
  static ProgramResult export_to(const std::string& output) {
    return cli().run({"export", "out.h5", "-o", output});
  }
};

TEST_F(Outputs, AnInputIsLeftAsItIs) {
  const std::string before = slurp(cli().file("out.h5"));
  link("out.h5", "link");
  fs::create_hard_link(cli().file("out.h5"), cli().file("hard.h5"));
  for (const std::string output : {"out.h5", "./scratch/../out.h5", "link", "hard.h5",
                                   "out.h5.runs.jsonl", "prompts.txt", "stories.h5"}) {
    EXPECT_TRUE(fails_with(export_to(output), 64, {output, "input"})) << output;
  }
  EXPECT_TRUE(slurp(cli().file("out.h5")) == before);
  fs::remove(cli().file("hard.h5"));
}

TEST_F(Outputs, NoCommandWritesOverWhatItReads) {
  link("stories.h5", "link");
  for (const std::string output : {"stories.h5", "link"}) {
    EXPECT_TRUE(fails_with(cli().generate_again({"--output", output}), 64, {"--model"}));
    EXPECT_TRUE(fails_with(cli().run({"score", "--model", "stories.h5", "--prompts", "prompts.txt",
                                      "--output", output}),
                           64, {"--model"}));
  }
  EXPECT_TRUE(fails_with(cli().generate_again({"--output", "prompts.txt"}), 64, {"--prompts"}));
  for (const std::string metrics : {"prompts.txt", "out.h5", "stories.h5", "out.h5.lock"}) {
    EXPECT_TRUE(fails_with(cli().generate_again({"--metrics", metrics}), 64, {"--metrics"}));
  }
  cli().folder().write("job.cfg", "seed = 0\n");
  EXPECT_TRUE(fails_with(cli().generate_again({"--config", "job.cfg", "--metrics", "job.cfg"}), 64,
                         {"--config"}));
  fs::copy_file(std::string(GRIDMILL_MODELS_DIR) + "/stories260K/stories260K.bin",
                cli().file("source.bin"), fs::copy_options::overwrite_existing);
  EXPECT_TRUE(fails_with(cli().run({"convert", "source.bin", "source.bin", "--tokenizer",
                                    std::string(GRIDMILL_MODELS_DIR) + "/stories260K/tok512.bin"}),
                         64, {"source"}));
  EXPECT_EQ(slurp(cli().file("prompts.txt")).rfind("Once upon a time\n", 0), 0U);
}

TEST_F(Outputs, AFinishedFileOfAnotherCommandIsRefused) {
  const std::string before = slurp(cli().file("out.h5"));
  EXPECT_TRUE(fails_with(export_to("shakespeare.h5"), 73, {"shakespeare.h5", "checkpoint"}));
  EXPECT_TRUE(fails_with(cli().run({"score", "--model", "stories.h5", "--prompts", "prompts.txt",
                                    "--output", "out.h5"}),
                         73, {"out.h5", "result file"}));
  EXPECT_TRUE(
      fails_with(cli().run({"convert", std::string(GRIDMILL_MODELS_DIR) + "/tiny-xlstm-shakespeare",
                            "out.h5"}),
                 73, {"out.h5", "result file"}));
  EXPECT_TRUE(fails_with(cli().generate_again({"--output", "shakespeare.h5"}), 73,
                         {"shakespeare.h5", "checkpoint"}));
  EXPECT_TRUE(slurp(cli().file("out.h5")) == before);
}

TEST_F(Outputs, ALinkIsWrittenThroughAlsoADanglingOne) {
  link("scratch/x", "link");
  ASSERT_EQ(export_to("link").exit_code, 0);
  EXPECT_TRUE(fs::is_symlink(cli().file("link")));
  EXPECT_EQ(slurp(cli().file("scratch/x")), cli().run({"export", "out.h5"}).out);
  fs::remove(cli().file("scratch/x"));
  const ProgramResult generated = cli().generate_again({"--output", "link"});
  ASSERT_EQ(generated.exit_code, 0) << generated.err;
  EXPECT_TRUE(fs::is_symlink(cli().file("link")));
  EXPECT_TRUE(slurp(cli().file("scratch/x")) == slurp(cli().file("out.h5")));
  EXPECT_TRUE(fs::exists(cli().file("scratch/x.lock")));
  EXPECT_EQ(cli().run({"export", "link"}).exit_code, 0) << "the run log is found";
  fs::remove(cli().file("scratch/x"));
  ASSERT_EQ(
      cli()
          .run({"score", "--model", "stories.h5", "--prompts", "prompts.txt", "--output", "link"})
          .exit_code,
      0);
  EXPECT_TRUE(fs::is_symlink(cli().file("link")));
  EXPECT_TRUE(fs::is_regular_file(cli().file("scratch/x")));
  for (const auto& entry : fs::directory_iterator(cli().file("scratch"))) {
    EXPECT_NE(entry.path().extension(), ".tmp");
  }
}

TEST_F(Outputs, AResultFileWithTwoNamesIsNoOutput) {
  fs::create_hard_link(cli().file("out.h5"), cli().file("hard.h5"));
  EXPECT_TRUE(
      fails_with(cli().generate_again({"--output", "hard.h5"}), 73, {"hard.h5", "2 names"}));
  fs::remove(cli().file("hard.h5"));
}

TEST_F(Outputs, StreamsAreWrittenInto) {
  const std::string rows = cli().run({"export", "out.h5"}).out;
  EXPECT_EQ(export_to("/dev/null").exit_code, 0);
  EXPECT_FALSE(fs::is_regular_file("/dev/null"));
  EXPECT_EQ(export_to("/dev/stdout").out, rows);
  ASSERT_EQ(::mkfifo(cli().file("fifo").c_str(), 0600), 0);
  const ProgramResult piped = test::run_program(
      {"sh", "-c", "cat fifo & \"$0\" export out.h5 -o fifo && wait", GRIDMILL_PROGRAM},
      cli().folder().path());
  EXPECT_EQ(piped.out, rows) << piped.err;
  EXPECT_TRUE(fs::is_fifo(cli().file("fifo")));
  const ProgramResult appended = test::run_program(
      {"sh", "-c", "echo before > new; \"$0\" export out.h5 -o /dev/stdout >> new",
       GRIDMILL_PROGRAM},
      cli().folder().path());
  EXPECT_EQ(appended.exit_code, 0) << appended.err;
  EXPECT_EQ(slurp(cli().file("new")), "before\n" + rows);
  // Where root may make devices, and they work.
  if (::mknod(cli().file("null").c_str(), S_IFCHR | 0600, ::makedev(1, 3)) == 0 &&
      std::ofstream(cli().file("null"), std::ios::app).is_open()) {
    EXPECT_EQ(export_to("null").exit_code, 0);
    EXPECT_TRUE(fs::is_character_file(cli().file("null"))) << "a device stays a device";
  }
}

TEST_F(Outputs, Hdf5IsNotWrittenToStreams) {
  ASSERT_EQ(::mkfifo(cli().file("fifo").c_str(), 0600), 0);
  for (const std::string output : {"fifo", "/dev/null", "/dev/stdout"}) {
    EXPECT_TRUE(fails_with(cli().generate_again({"--output", output}), 64, {output, "HDF5"}));
    EXPECT_TRUE(fails_with(cli().run({"score", "--model", "stories.h5", "--prompts", "prompts.txt",
                                      "--output", output}),
                           64, {output, "HDF5"}));
    EXPECT_TRUE(fails_with(
        cli().run(
            {"convert", std::string(GRIDMILL_MODELS_DIR) + "/tiny-xlstm-shakespeare", output}),
        64, {output, "HDF5"}));
  }
}

}  // namespace
}  // namespace gridmill
