// Promise 1 for every family of models: one row of options, every grid, backend and kernel target,
// the same bytes.
//
// Without GRIDMILL_EVERY_FAMILY=1 a sample: what tests/data/golden holds. With it, every folder of
// the full golden data. FAMILIES_PROGRAM, FAMILIES_BACKEND (default cpu) and FAMILIES_OPTIONS are
// for the emulated device.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "gridmill/base/grid_shape.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/h5/file.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_program;
using test::slurp;
using test::TemporaryFolder;
using test::under_mpirun;
using Words = std::vector<std::string>;

/// A folder with a model of Hugging Face.
struct Family {
  std::string name;
  fs::path folder;
};
void PrintTo(const Family& family, std::ostream* out) { *out << family.name; }

std::string setting(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

std::string program() { return setting("FAMILIES_PROGRAM", GRIDMILL_PROGRAM); }

std::vector<Family> families() {
  std::vector<fs::path> roots = {fs::path(GRIDMILL_TEST_DATA) / "golden/hf"};
  const std::string full = GRIDMILL_GOLDEN_DIR;
  if (setting("GRIDMILL_EVERY_FAMILY", "0") == "1") {
    if (full.empty()) return {{"needs_GRIDMILL_GOLDEN_DIR", ""}};  // convert fails, loudly
    roots = {fs::path(full) / "hf"};
  }
  std::vector<Family> found;
  for (const auto& entry : fs::directory_iterator(roots.front())) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    found.push_back({entry.path().filename().string(), entry.path()});
  }
  std::sort(found.begin(), found.end(),
            [](const Family& a, const Family& b) { return a.name < b.name; });
  return found;
}

constexpr std::uint64_t kRows = 10;
constexpr std::uint64_t kLongestPrompt = 30;
constexpr TokenId kVocabulary = 60;  // the smallest of all models

/// Prompts of 1 to 30 ids: shorter and longer than windows and pieces.
void write_prompts(const std::string& path) {
  std::vector<TokenId> ids(kRows * kLongestPrompt);
  std::vector<std::uint8_t> mask(ids.size());
  for (std::uint64_t row = 0; row < kRows; ++row) {
    for (std::uint64_t i = 0; i < 1 + row * (kLongestPrompt - 1) / (kRows - 1); ++i) {
      const std::size_t at = row * kLongestPrompt + i;
      ids[at] = static_cast<TokenId>((row * 31 + i * i * 7 + i) % kVocabulary);
      mask[at] = 1;
    }
  }
  h5::File file = h5::File::create(path);
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {kRows, kLongestPrompt})
      .write_rows(0, kRows, std::as_bytes(std::span(ids)));
  file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), {kRows, kLongestPrompt})
      .write_rows(0, kRows, std::as_bytes(std::span(mask)));
  file.close();
}

/// What two tp ranks cannot share: a norm or gates over all heads, or an odd number of heads.
const std::set<std::string> kUnsplit = {
    "llama_linear_rope_v4cfg", "mamba2", "nxai_slstm_mixed", "olmo2",
    "olmo3_window_yarn",       "olmoe",  "phi2_parallel",    "smollm_like"};

/// What the cuda backend does not run yet; it names the missing operation.
const std::set<std::string> kRefusedByCuda = {"falcon_h1", "mamba2", "nxai_slstm_mixed",
                                              "qwen3_5_text", "qwen3_next"};

class FamilyMatrix : public testing::TestWithParam<Family> {
 protected:
  void SetUp() override {
    write_prompts(folder_.file("prompts.h5"));
    const ProgramResult converted =
        run_program({program(), "convert", GetParam().folder.string(), folder_.file("model.h5")},
                    folder_.path());
    ASSERT_EQ(converted.exit_code, 0) << converted.err;
    refused_ =
        setting("FAMILIES_BACKEND", "cpu") == "cuda" && kRefusedByCuda.contains(GetParam().name);
    if (!refused_) return;
    const ProgramResult missing = generate({.dp = 1}, {"--backend", "cuda"});
    EXPECT_EQ(missing.exit_code, 64) << missing.err;
    EXPECT_NE(missing.err.find("the cuda backend has no "), std::string::npos) << missing.err;
  }

  ProgramResult generate(const GridShape& grid, const Words& extra) {
    ::unlink(folder_.file("out.h5").c_str());
    Words command = {program(),
                     "generate",
                     "--model",
                     folder_.file("model.h5"),
                     "--prompts",
                     folder_.file("prompts.h5"),
                     "--output",
                     folder_.file("out.h5"),
                     "--dp",
                     std::to_string(grid.dp),
                     "--fsdp",
                     std::to_string(grid.fsdp),
                     "--tp",
                     std::to_string(grid.tp),
                     "--max-length",
                     "40",
                     "--slots",
                     "3",
                     "--threads",
                     "1",
                     "--temperature",
                     "0.8",
                     "--seed",
                     "5",
                     "--eod-token-id",
                     "-1",
                     "--progress",
                     "none",
                     "--log-level",
                     "warn",
                     "--logprobs",
                     "--fsdp-min-weight-size",
                     "0"};
    command.insert(command.end(), extra.begin(), extra.end());
    return run_program(under_mpirun(grid.ranks(), command), folder_.path());
  }
  /// The bytes of a result file that has to be written.
  std::string bytes(const GridShape& grid, const Words& extra) {
    const ProgramResult result = generate(grid, extra);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.exit_code == 0 ? slurp(folder_.file("out.h5")) : std::string();
  }

  TemporaryFolder folder_;
  bool refused_ = false;
};

Words joined(Words words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

/// Options of the backend under test.
Words backend_options() {
  Words words = {"--backend", setting("FAMILIES_BACKEND", "cpu")};
  std::istringstream more(setting("FAMILIES_OPTIONS", ""));
  for (std::string word; more >> word;) words.push_back(word);
  return words;
}

TEST_P(FamilyMatrix, EveryGridWritesTheSameBytes) {
  if (refused_) return;
  const Words options = joined(backend_options(), {"--compute-dtype", "bf16"});
  const std::string expected = bytes({.dp = 1}, options);
  ASSERT_FALSE(expected.empty());
  const Words per_layer = {"--gather-params-once=false"};
  const Words once = {"--gather-params-once=true"};
  EXPECT_TRUE(bytes({.dp = 2}, joined(options, once)) == expected) << "2x1x1";
  EXPECT_TRUE(bytes({.dp = 1, .fsdp = 2}, joined(options, once)) == expected) << "1x2x1, once";
  EXPECT_TRUE(bytes({.dp = 1, .fsdp = 2}, joined(options, per_layer)) == expected)
      << "1x2x1, layer by layer";
  EXPECT_TRUE(bytes({.dp = 2, .fsdp = 2}, joined(options, per_layer)) == expected) << "2x2x1";
  const ProgramResult split = generate({.tp = 2}, options);
  if (!kUnsplit.contains(GetParam().name)) {
    ASSERT_EQ(split.exit_code, 0) << split.err;
    EXPECT_TRUE(slurp(folder_.file("out.h5")) == expected) << "1x1x2";
  } else {
    EXPECT_EQ(split.exit_code, 64) << split.err;
    EXPECT_NE(split.err.find("tp"), std::string::npos) << split.err;
    const std::string prefix = "gridmill: error:";  // mpirun adds lines of its own
    const std::size_t first = split.err.find(prefix);
    EXPECT_NE(first, std::string::npos) << split.err;
    EXPECT_EQ(split.err.find(prefix, first + 1), std::string::npos) << split.err;
  }
}

TEST_P(FamilyMatrix, TheReferenceAndEveryKernelTargetWriteTheSameBytes) {
  if (refused_) return;
  if (setting("FAMILIES_BACKEND", "cpu") != "cpu") GTEST_SKIP() << "of the cpu backend";
  for (const std::string dtype : {"fp32", "bf16"}) {
    const Words options = {"--compute-dtype", dtype};
    const std::string expected = bytes({.dp = 1}, joined(options, {"--backend", "reference"}));
    ASSERT_FALSE(expected.empty());
    EXPECT_TRUE(bytes({.dp = 1}, joined(options, {"--backend", "cpu"})) == expected) << dtype;
    EXPECT_TRUE(bytes({.dp = 1},
                      joined(options, {"--backend", "cpu", "--kernel-target", "avx2"})) == expected)
        << dtype << " avx2";
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, FamilyMatrix, testing::ValuesIn(families()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace gridmill
