// Files that somebody made to do harm: they are refused with 65, in time, and the terminal stays as
// it is.

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "gridmill/base/clock.hpp"
#include "unit/h5/python.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

/// Changes or makes files of the fixture's folder with h5py, which has it as argument.
void with_h5py(const std::string& script) {
  const test::PythonResult made =
      test::run_python("import h5py, numpy, json, sys, os\nos.chdir(sys.argv[1])\n" + script,
                       cli().folder().path().string());
  ASSERT_EQ(made.exit_code, 0) << made.output;
}

TEST(HostileRunLog, FieldsOfAnotherKindAreRefused) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  for (const std::string record : {"{\"model\": 5, \"prompts\": \"prompts.txt\"}",
                                   "{\"model\": \"stories.h5\", \"prompts\": [1]}"}) {
    cli().folder().write("out.h5.runs.jsonl", record + "\n");
    EXPECT_TRUE(
        fails_with(cli().run({"export", "out.h5"}), 65, {"out.h5.runs.jsonl", "expected a text"}))
        << record;
  }
}

TEST(HostileRunLog, MillionsOfLinesThatSayNothingTakeNoTime) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  const std::string record = slurp(cli().file("out.h5.runs.jsonl"));
  const SteadyClock::time_point start = SteadyClock::now();
  cli().folder().write("out.h5.runs.jsonl", record + std::string(5'000'000, '\n'));
  EXPECT_EQ(cli().run({"export", "out.h5"}).exit_code, 0);
  std::string broken;
  for (int i = 0; i < 1'000'000; ++i) broken += "{\n";
  cli().folder().write("out.h5.runs.jsonl", record + broken);
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5"}), 64, {"give --model"}));
  EXPECT_LT(seconds_since(start), 20);
}

TEST(HostileResult, AJobWhoseFieldsAreNoTextIsRefusedByEveryCommand) {
  GRIDMILL_NEEDS_H5PY();
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  with_h5py(R"(
with h5py.File("out.h5", "r+") as f:
    job = json.loads(f.attrs["job"])
    for name in ("tokenizer", "prompts", "model", "numerics", "temperature"):
        job[name] = [3]
    f.attrs["job"] = json.dumps(job)
)");
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5"}), 65, {"tokenizer"}));
  EXPECT_TRUE(fails_with(
      cli().run({"verify", "out.h5", "--model", "stories.h5", "--prompts", "prompts.txt"}), 65,
      {"out.h5"}));
}

TEST(HostileText, DoesNotReachTheTerminalUnescaped) {
  GRIDMILL_NEEDS_H5PY();
  with_h5py(R"(
with h5py.File("escape.h5", "w") as f:
    f.attrs["format"] = "\u001b[2J\u001b]0;owned\u0007\u202e"
)");
  cli().folder().write("escape/config.json", "{\"model_type\": \"\\u001b[31mred\"}");
  for (const ProgramResult& result :
       {cli().generate({"--model", "escape.h5"}), cli().run({"convert", "escape", "escaped.h5"})}) {
    EXPECT_EQ(result.exit_code, 65);
    EXPECT_EQ(result.err.find('\x1b'), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("\\x1b["), std::string::npos) << result.err;
  }
}

TEST(HostilePrompts, AFewBytesThatStandForGigabytesAreRefused) {
  GRIDMILL_NEEDS_H5PY();
  with_h5py(R"(
with h5py.File("chunk.h5", "w") as f:
    f.create_dataset("prefix_tokens", shape=(2, 1 << 29), dtype="i4", chunks=(1, 1 << 29), compression="gzip")
with h5py.File("row.h5", "w") as f:
    f.create_dataset("prefix_tokens", shape=(2, 1 << 29), dtype="i4", chunks=(1, 1024), compression="gzip")
)");
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", "chunk.h5"}), 65, {"chunk.h5", "chunks"}));
  EXPECT_NE(cli().generate({"--prompts", "row.h5", "--max-length", "64"}).exit_code, 0);
}

/// HDF5 1.10 crashes at many of these, and never comes back from some.
TEST(HostileH5, OneChangedByteIsReadOrRefused) {
  GRIDMILL_NEEDS_H5PY();
  with_h5py(R"(
with h5py.File("packed.h5", "w") as f:
    f.create_dataset("prefix_tokens", data=numpy.arange(60).reshape(10, 6) % 500, chunks=(2, 6), compression="gzip")
)");
  const std::string sound = slurp(cli().file("packed.h5"));
  for (std::size_t at = 40; at < 2200; at += 173) {
    std::string changed = sound;
    changed[at] = static_cast<char>(0xFF);
    cli().folder().write("changed.h5", changed);
    const int code = cli().generate({"--prompts", "changed.h5", "--max-length", "16"}).exit_code;
    EXPECT_TRUE(code == 0 || code == 1 || code == 65) << "byte " << at << ": " << code;
  }
}

}  // namespace
}  // namespace gridmill
