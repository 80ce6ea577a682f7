// Promise 1 as users can check it: the result file has the same bytes on every grid.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "gridmill/base/grid_shape.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/row_record.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/results/result_file.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {

void PrintTo(const GridShape& grid, std::ostream* out) {
  *out << grid.dp << "x" << grid.fsdp << "x" << grid.tp;
}

namespace {

using test::ProgramResult;
using test::run_program;
using test::slurp;
using test::TemporaryFolder;
using test::under_mpirun;

constexpr std::uint64_t kSlots = 2;  // a replica
constexpr std::uint64_t kRows = 44;
constexpr std::uint64_t kMostReplicas = 4;
static_assert(kRows >= 5 * kSlots * kMostReplicas);
constexpr std::uint64_t kLongestPrompt = 200;
constexpr std::uint64_t kMaxLength = 210;

struct Sampling {
  std::string name;
  std::vector<std::string> options;
};

const std::vector<std::string> kModels = {"stories", "shakespeare"};
const std::vector<Sampling> kSamplings = {
    {"greedy", {"--temperature", "0"}},
    {"sampled", {"--temperature", "0.8", "--seed", "5", "--logprobs"}}};

/// Lengths of prompts, in ids: 1 to 200, long ones between short ones.
std::uint64_t prompt_length(std::uint64_t row) {
  return row % 4 == 3 ? 1 + row * kLongestPrompt / kRows : 1 + row % 7;
}

/// Prompts as ids that both models have (of 512), so that their lengths are exact; the last is the
/// longest.
void write_prompts(const std::string& path) {
  std::vector<TokenId> ids(kRows * kLongestPrompt);
  std::vector<std::uint8_t> mask(ids.size());
  for (std::uint64_t row = 0; row < kRows; ++row) {
    const std::uint64_t length = row + 1 == kRows ? kLongestPrompt : prompt_length(row);
    for (std::uint64_t i = 0; i < length; ++i) {
      const std::size_t at = row * kLongestPrompt + i;
      ids[at] = static_cast<TokenId>(3 + (row * 31 + i * i * 7 + i) % 500);
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

/// The converted models and the prompts, made once.
class Workshop {
 public:
  Workshop() {
    write_prompts(folder_.file("prompts.h5"));
    const std::string models = GRIDMILL_MODELS_DIR;
    convert({models + "/stories260K/stories260K.bin", folder_.file("stories.h5"), "--tokenizer",
             models + "/stories260K/tok512.bin"});
    convert({models + "/tiny-xlstm-shakespeare", folder_.file("shakespeare.h5")});
  }
  [[nodiscard]] const TemporaryFolder& folder() const { return folder_; }

  /// Generates and returns the bytes of the result file.
  std::string generate(const GridShape& grid, const std::string& model, const Sampling& sampling,
                       const std::vector<std::string>& extra, const std::string& name) {
    const std::string output = folder_.file(name + ".h5");
    std::vector<std::string> command = {GRIDMILL_PROGRAM, "generate",
                                        "--model",        folder_.file(model + ".h5"),
                                        "--prompts",      folder_.file("prompts.h5"),
                                        "--output",       output,
                                        "--dp",           std::to_string(grid.dp),
                                        "--fsdp",         std::to_string(grid.fsdp),
                                        "--tp",           std::to_string(grid.tp),
                                        "--max-length",   std::to_string(kMaxLength),
                                        "--progress",     "none",
                                        "--log-level",    "warn",
                                        "--metrics",      output + ".metrics"};
    command.insert(command.end(), sampling.options.begin(), sampling.options.end());
    command.insert(command.end(), extra.begin(), extra.end());
    for (const auto& [option, setting] :
         {std::pair{"--slots", std::to_string(kSlots)}, std::pair{"--threads", std::string("1")}}) {
      if (std::find(extra.begin(), extra.end(), option) != extra.end()) continue;
      command.insert(command.end(), {option, setting});
    }
    const ProgramResult result = run_program(under_mpirun(grid.ranks(), command), folder_.path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return slurp(output);
  }
  /// The last record of the metrics file.
  [[nodiscard]] Json summary(const std::string& name) const {
    std::istringstream lines(slurp(folder_.file(name + ".h5.metrics")));
    std::string line;
    std::string last;
    while (std::getline(lines, line)) last = line;
    return Json::parse(last);
  }
  /// What one rank writes: what every grid must write.
  const std::string& expected(const std::string& model, const Sampling& sampling) {
    std::string& bytes = expected_[{model, sampling.name}];
    if (bytes.empty()) {
      bytes = generate({.dp = 1}, model, sampling, {}, "expected-" + model + "-" + sampling.name);
    }
    return bytes;
  }

 private:
  void convert(std::vector<std::string> arguments) {
    std::vector<std::string> command = {GRIDMILL_PROGRAM, "convert"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const ProgramResult result = run_program(command, folder_.path());
    if (result.exit_code != 0) throw std::runtime_error("convert failed: " + result.err);
  }
  TemporaryFolder folder_;
  std::map<std::pair<std::string, std::string>, std::string> expected_;
};

Workshop& workshop() {
  static Workshop shared;
  return shared;
}

class GridMatrix : public testing::TestWithParam<std::tuple<GridShape, bool>> {};

TEST_P(GridMatrix, EveryGridWritesTheSameBytes) {
  const auto [grid, gather_once] = GetParam();
  for (const std::string& model : kModels) {
    for (const Sampling& sampling : kSamplings) {
      const std::vector<std::string> extra = {
          gather_once ? "--gather-params-once=true" : "--gather-params-once=false",
          "--fsdp-min-weight-size", "0"};
      const std::string bytes = workshop().generate(grid, model, sampling, extra, "result");
      EXPECT_TRUE(bytes == workshop().expected(model, sampling))
          << model << " " << sampling.name << ": the result file differs from one rank's";
      const Json summary = workshop().summary("result");
      EXPECT_GT(summary.at("slot_refills").get<int>(), 0) << summary.dump();
      EXPECT_GT(summary.at("mixed_passes").get<int>(), 0) << summary.dump();
      EXPECT_EQ(summary.at("rows_done").get<int>(), kRows);
      if (grid.fsdp == 4) {
        EXPECT_LT(summary.at("parameter_bytes_read").at("mean").get<double>(),
                  0.30 * summary.at("parameter_bytes").get<double>())
            << summary.dump();
      }
      // Each tp rank holds other weights, and without gathering once each fsdp rank another shard.
      EXPECT_EQ(summary.at("distinct_parameter_shards").get<int>(),
                grid.tp * (gather_once ? 1 : grid.fsdp))
          << summary.dump();
      ::unlink((workshop().folder().file("result.h5")).c_str());
      ::unlink((workshop().folder().file("result.h5.lock")).c_str());
      ::unlink((workshop().folder().file("result.h5.metrics")).c_str());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Grids, GridMatrix,
    testing::Combine(testing::Values(GridShape{1, 1, 1}, GridShape{2, 1, 1}, GridShape{1, 2, 1},
                                     GridShape{1, 1, 2}, GridShape{2, 2, 1}, GridShape{1, 4, 1},
                                     GridShape{4, 1, 1}, GridShape{1, 1, 4}, GridShape{2, 2, 2}),
                     testing::Bool()),
    [](const auto& instance) {
      const GridShape grid = std::get<0>(instance.param);
      return "dp" + std::to_string(grid.dp) + "_fsdp" + std::to_string(grid.fsdp) + "_tp" +
             std::to_string(grid.tp) + (std::get<1>(instance.param) ? "_once" : "_per_layer");
    });

TEST(SameBits, TheRowsBeginWith1To200TokensAndOneReachesMaxLength) {
  for (const std::string& model : kModels) {
    for (const Sampling& sampling : kSamplings) {
      static_cast<void>(workshop().expected(model, sampling));
      const ResultFile file = ResultFile::open(
          workshop().folder().file("expected-" + model + "-" + sampling.name + ".h5"));
      std::vector<std::uint32_t> prefixes;
      int cut = 0;
      for (RowId row = 0; row < kRows; ++row) {
        const RowRecord record = file.read_row(row).record;
        EXPECT_EQ(record.status, static_cast<std::uint16_t>(RowStatus::done));
        prefixes.push_back(record.prefix_length);
        if (record.length != kMaxLength) continue;
        ++cut;
        EXPECT_GT(record.length, record.prefix_length);
      }
      EXPECT_EQ(*std::min_element(prefixes.begin(), prefixes.end()), 1U);
      EXPECT_EQ(*std::max_element(prefixes.begin(), prefixes.end()), kLongestPrompt);
      EXPECT_GE(cut, 1) << model << " " << sampling.name;
    }
  }
}

TEST(SameBits, SlotsAndBackendDoNotMatter) {
  const std::vector<std::vector<std::string>> variants = {
      {"--slots", "1"}, {"--slots", "64"}, {"--threads", "2"}, {"--backend", "reference"}};
  for (const std::string& model : kModels) {
    for (const auto& variant : variants) {
      const std::string bytes =
          workshop().generate({.dp = 1}, model, kSamplings[1], variant, "variant");
      EXPECT_TRUE(bytes == workshop().expected(model, kSamplings[1]))
          << variant[0] << " " << variant[1];
      ::unlink((workshop().folder().file("variant.h5")).c_str());
    }
  }
}

}  // namespace

}  // namespace gridmill
