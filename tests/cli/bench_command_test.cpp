// `gridmill bench`: what its lines hold, and what it refuses.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "cli/cli_fixture.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using Words = std::vector<std::string>;

/// Small and quick where `more` says nothing else.
Words bench(const Words& more) {
  cli().folder().write("tiny.json", R"({"family": "xlstm", "vocab_size": 300, "hidden_size": 24,
    "layers": 2, "heads": 4, "norm_eps": 1e-6, "qk_dim": 16, "v_dim": 32, "ffn_size": 52})");
  Words words = {"bench"};
  for (const auto& [option, setting] :
       {std::pair{"--prompt", "5"}, {"--gen", "7"}, {"--repeat", "2"}, {"--threads", "1"}}) {
    if (std::find(more.begin(), more.end(), option) != more.end()) continue;
    words.insert(words.end(), {option, setting});
  }
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::vector<Json> lines_of(const Words& arguments) {
  const ProgramResult result = cli().run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<Json> values;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

TEST(Bench, PrintsALineABatchSizeWithFiguresAndLimits) {
  const std::vector<Json> lines = lines_of(bench({"--shape", "tiny.json", "--batch", "1,3"}));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0].at("batch"), 1);
  EXPECT_EQ(lines[1].at("batch"), 3);
  for (const Json& line : lines) {
    EXPECT_EQ(line.at("prefill_s").size(), 2U) << "an entry a repeat";
    EXPECT_EQ(line.at("total_s").size(), 2U);
    EXPECT_GT(line.at("total_s").at(0), line.at("prefill_s").at(0));
    for (const char* field :
         {"load_s", "first_touch_copy_s", "decode_tps", "prefill_tps", "rss_mib", "weights_mib",
          "state_mib", "read_gb_per_s", "update_gb_per_s", "bf16_gflop_per_s", "fp32_gflop_per_s",
          "roofline_share", "prefill_roofline_share"}) {
      EXPECT_GT(line.at(field).get<double>(), 0) << field;
    }
    EXPECT_EQ(line.at("canary").size(), 2U) << "before and after";
    EXPECT_EQ(line.at("threads"), 1);
    EXPECT_EQ(line.at("compute_dtype"), "bf16");
    // Marked exactly if every attempt was disturbed.
    EXPECT_TRUE(line.at("attempts") == 3 || line.at("canary_moved") == false) << line;
  }
}

TEST(Bench, PassRowsCutPromptsIntoChunks) {
  // A prompt of 5 tokens.
  const auto passes = [](const std::string& rows) {
    const Json line =
        lines_of(bench({"--shape", "tiny.json", "--batch", "1", "--pass-rows", rows})).at(0);
    EXPECT_EQ(line.at("pass_rows"), std::stoi(rows));
    return line.at("prefill_passes").get<int>();
  };
  EXPECT_EQ(lines_of(bench({"--shape", "tiny.json", "--batch", "1"})).at(0).at("pass_rows"), 512);
  EXPECT_EQ(passes("5"), 1);
  EXPECT_EQ(passes("3"), 2);
  EXPECT_EQ(passes("2"), 3);
}

TEST(Bench, MeasuresWhatRowsShare) {
  const Json start = lines_of(bench({"--shape", "tiny.json", "--batch", "6", "--shared-prefix",
                                     "40", "--prompt", "4"}))
                         .at(0);
  EXPECT_GE(start.at("shared_prompt_tokens"), 5 * 40);
  EXPECT_LE(start.at("prompt_tokens"), 40 + 6 * 4);
  EXPECT_EQ(start.at("shared_s").size(), 2U);
  const Json samples =
      lines_of(bench({"--shape", "tiny.json", "--batch", "6", "--samples", "3", "--prompt", "40"}))
          .at(0);
  EXPECT_EQ(samples.at("shared_prompt_tokens"), 4 * 39);
  const Json nothing =
      lines_of(bench({"--shape", "tiny.json", "--batch", "3", "--shared-prefix", "0"})).at(0);
  EXPECT_EQ(nothing.at("shared_prompt_tokens"), 0);
  for (const char* field : {"shared_over_floor", "shared_over_alone", "floor_speedup"}) {
    EXPECT_GT(samples.at(field).get<double>(), 0) << field;
  }
}

TEST(Bench, DtypeAndBackendAreThoseAskedFor) {
  const Json line = lines_of(bench({"--shape", "tiny.json", "--batch", "2", "--dtype", "fp32",
                                    "--backend", "reference"}))
                        .at(0);
  EXPECT_EQ(line.at("compute_dtype"), "fp32");
  EXPECT_EQ(line.at("backend"), "reference");
}

TEST(Bench, SaysWhatSamplingOptionsCost) {
  const Words words = bench({"--shape", "tiny.json", "--batch", "2", "--sampling",
                             R"({"top_p": 0.9, "top_k": 20, "repetition_penalty": 1.1})"});
  EXPECT_TRUE(lines_of(words).at(0).at("sampling_cost").is_number());
  EXPECT_EQ(lines_of(bench({"--shape", "tiny.json"})).at(0).count("sampling_cost"), 0U);
}

TEST(Bench, KeepsTheWeightsUnderTheNameOfModelAndUsesThemAgain) {
  static_cast<void>(lines_of(bench({"--shape", "tiny.json", "--model", "kept.h5"})));
  const auto written = std::filesystem::last_write_time(cli().file("kept.h5"));
  EXPECT_EQ(lines_of(bench({"--model", "kept.h5", "--batch", "2"})).size(), 1U);
  EXPECT_EQ(std::filesystem::last_write_time(cli().file("kept.h5")), written);
}

TEST(Bench, LeavesNoTemporaryFile) {
  cli().folder().write("tmp/placeholder", "");
  const ProgramResult result = cli().run(bench({"--shape", "tiny.json", "--batch", "1"}), 1,
                                         {"TMPDIR=" + cli().file("tmp")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const auto& entry : std::filesystem::directory_iterator(cli().file("tmp"))) {
    EXPECT_EQ(entry.path().filename().string().find("gridmill-bench"), std::string::npos);
  }
}

TEST(Bench, RefusesWhatItCannotMeasure) {
  const std::vector<Words> impossible = {
      bench({}),                                                          // neither shape nor model
      bench({"--shape", "llama-2b"}),                                     // unknown
      bench({"--shape", "tiny.json", "--sampling", R"({"top_p": 2})"}),   // out of range
      bench({"--shape", "tiny.json", "--sampling", R"({"stop": "a"})"}),  // ends rows
      bench({"--shape", "tiny.json", "--gen", "1"}),                      // no decode
      bench({"--shape", "tiny.json", "--batch", "0"}),                    // no rows
      bench({"--shape", "tiny.json", "--dtype", "fp16"}),                 // no such products
      bench({"--model", "stories.h5", "--prompt", "10000"}),  // longer than the model's limit
  };
  for (const Words& arguments : impossible) {
    const ProgramResult result = cli().run(arguments);
    EXPECT_EQ(result.exit_code, 64) << arguments.back() << result.err;
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(cli().run(bench({"--shape", "missing.json"})).exit_code, 66);
  EXPECT_EQ(cli().run(bench({"--shape", "tiny.json"}), 2).exit_code, 64) << "one rank only";
}

}  // namespace
}  // namespace gridmill
