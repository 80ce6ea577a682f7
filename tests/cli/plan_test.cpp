#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "cli/cli_fixture.hpp"

// gridmill plan: what it says beforehand, and what a run then does.
namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using Arguments = test::CliFixture::Arguments;

std::string config_of(const std::string& name) {
  return std::string(GRIDMILL_SOURCE_DIR) + "/tests/data/plan/" + name;
}

ProgramResult plan(Arguments arguments) {
  arguments.insert(arguments.begin(), "plan");
  return cli().run(arguments);
}

Json plan_json(Arguments arguments) {
  arguments.emplace_back("--json");
  const ProgramResult result = plan(std::move(arguments));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return Json::parse(result.out);
}

const Arguments kCluster = {"--nodes", "4", "--cores", "64", "--memory", "256G"};

Arguments with(Arguments first, const Arguments& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// --- from nothing but a config.json

TEST(PlanOfAConfig, SaysWhatLlama8bTakesOnAGivenGrid) {
  const Json all = plan_json(
      with(kCluster, {"--model", config_of("llama-3.1-8b"), "--rows", "100000", "--prompt-tokens",
                      "300", "--new-tokens", "400", "--dp", "32", "--tp", "1"}));
  EXPECT_EQ(all["compute_dtype"], "bf16");
  EXPECT_EQ(all["parameter_bytes"], 8030261248ULL * 2) << "8.03 G parameters";
  ASSERT_EQ(all["grids"].size(), 1U);
  const Json& grid = all["grids"][0];
  EXPECT_EQ(grid["ranks_per_node"], 8);
  EXPECT_EQ(grid["slots"], 64);
  // Two of 32 layers, 8 heads, 128 numbers, 2,048 positions, bf16.
  EXPECT_EQ(grid["longest_row_states"], 2ULL * 32 * 8 * 128 * 2048 * 2);
  EXPECT_NEAR(grid["bytes_read"].get<double>(), 4 * 8030261248.0 * 2, 1e6) << "once a node";
  EXPECT_GT(grid["passes"].get<double>(), 100000.0 / 32 / 64 * 400 * 0.9);
  const std::string line = grid["sbatch"];
  EXPECT_NE(line.find("--nodes=4 --ntasks-per-node=8 --cpus-per-task=8"), std::string::npos)
      << line;
  EXPECT_NE(line.find("--model MODEL.h5"), std::string::npos) << line;
  EXPECT_NE(line.find("--dp 32 --fsdp 1 --tp 1"), std::string::npos) << line;
  EXPECT_EQ(line.find("--new-tokens"), std::string::npos) << line;
}

TEST(PlanOfAConfig, RanksGridsOfXlstm7b) {
  const Json all = plan_json(with(
      kCluster, {"--model", config_of("xlstm-7b") + "/config.json", "--dtype", "bf16", "--rows",
                 "1000", "--prompt-tokens", "300", "--new-tokens", "400", "--top", "4"}));
  EXPECT_NEAR(all["parameter_bytes"].get<double>(), 6.87e9 * 2, 0.01e9 * 2) << "6.87 G parameters";
  EXPECT_GT(all["grids_tried"].get<int>(), 20);
  ASSERT_EQ(all["grids"].size(), 4U);
  EXPECT_TRUE(all["grids"][0]["fits"]);
  EXPECT_FALSE(all["grids"][0].contains("generate_s")) << "no limits, no times";
  EXPECT_TRUE(all["limits"].is_null());
  EXPECT_FALSE(all["grids"][1]["why_not_first"].get<std::string>().empty());
}

TEST(PlanOfAConfig, ReadsAsText) {
  const ProgramResult result = plan(with(kCluster, {"--model", config_of("llama-3.1-8b"), "--rows",
                                                    "1000", "--prompt-tokens", "300"}));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* part : {"llama", "not measured", "best\n", "others\n", "slots a replica",
                           "sbatch --nodes=4", "gridmill convert", "--new-tokens N says"}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << part << "\n" << result.out;
  }
}

TEST(PlanOfAConfig, OfCodesIsSmaller) {
  const Arguments of = with(kCluster, {"--model", config_of("llama-3.1-8b"), "--rows", "1000",
                                       "--prompt-tokens", "300", "--dp", "4"});
  const Json bf16 = plan_json(of);
  const Json int8 = plan_json(with(of, {"--weights", "int8"}));
  EXPECT_EQ(
      int8["numerics"].get<std::string>().substr(int8["numerics"].get<std::string>().size() - 4),
      "int8");
  EXPECT_LT(int8["grids"][0]["parameter_memory_shared"].get<double>(),
            0.65 * bf16["grids"][0]["parameter_memory_shared"].get<double>());
}

TEST(PlanOfAConfig, OfAPartHasItsRows) {
  const Arguments job = with(kCluster, {"--model", config_of("llama-3.1-8b"), "--rows", "1000",
                                        "--prompt-tokens", "300", "--part"});
  const Json part = plan_json(with(job, {"1/3"}));
  EXPECT_EQ(part["rows"], 334);
  EXPECT_NE(part["notes"].dump().find("part 1/3 of the job: 334 of 1000 rows"), std::string::npos);
  EXPECT_NE(part["grids"][0]["sbatch"].get<std::string>().find("--part 1/3"), std::string::npos);
  EXPECT_EQ(plan(with(job, {"1001/1001"})).exit_code, 64);
}

TEST(PlanOfAConfig, NamesWhatToChangeWhenNothingFits) {
  const ProgramResult result =
      plan({"--model", config_of("llama-3.1-8b"), "--rows", "10", "--prompt-tokens", "30",
            "--nodes", "1", "--cores", "8", "--memory", "8G"});
  EXPECT_EQ(result.exit_code, 69);
  EXPECT_NE(result.err.find("no grid fits"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("--weights int8"), std::string::npos) << result.err;
}

TEST(PlanOfAConfig, TakesLimitsOfANode) {
  cli().folder().write("limits.json",
                       R"({"read_gb_per_s": 300, "update_gb_per_s": 300,
                           "bf16_gflop_per_s": 6000, "fp32_gflop_per_s": 3000})");
  const Arguments of =
      with(kCluster, {"--model", config_of("llama-3.1-8b"), "--rows", "100000", "--prompt-tokens",
                      "300", "--new-tokens", "400", "--limits", "limits.json"});
  const Json all = plan_json(of);
  const Json& best = all["grids"][0];
  // 2 operations a weight and token at the peak of 4 nodes.
  const double least_s = 1e5 * 700 * 2 * 7.5e9 / (4 * 6e12) * 0.9;
  EXPECT_GT(best["generate_s"].get<double>(), least_s);
  EXPECT_LE(best["generate_s"].get<double>(), all["grids"][1]["generate_s"].get<double>());
  EXPECT_NE(best["sbatch"].get<std::string>().find("--time="), std::string::npos);
  const ProgramResult text = plan(of);
  EXPECT_NE(text.out.find("at least"), std::string::npos) << text.out;
  cli().folder().write("limits.json", R"({"read_gb_per_s": 300})");
  EXPECT_EQ(plan(of).exit_code, 65);
}

// --- refusals

TEST(Plan, RefusesWhatItCannotKnow) {
  const std::string llama = config_of("llama-3.1-8b");
  const Arguments no_machine = {"--model", llama, "--rows", "10", "--prompt-tokens", "30"};
  EXPECT_EQ(plan(no_machine).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, {"--model", llama, "--rows", "10"})).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, {"--model", llama, "--prompt-tokens", "30"})).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, with(no_machine, {"--here"}))).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, with(no_machine, {"--backend", "cuda"}))).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, with(no_machine, {"--lockstep"}))).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, with(no_machine, {"--dp", "3"}))).exit_code, 64);
  EXPECT_EQ(plan(with(kCluster, {"--model", "stories.h5", "--rows", "1", "--prompt-tokens", "3",
                                 "--dtype", "bf16"}))
                .exit_code,
            64);
  EXPECT_EQ(plan(with(kCluster, {"--model", "missing.h5"})).exit_code, 66);
}

// --- held against a run

/// The shipped models on grids of this machine.
struct RunCase {
  const char* model;
  Arguments grid;
  int ranks;
};
void PrintTo(const RunCase& value, std::ostream* out) { *out << value.model << ' ' << value.ranks; }

class PlanOfARun : public ::testing::TestWithParam<RunCase> {};

TEST_P(PlanOfARun, KnowsItsMemoryBytesAndFile) {
  const auto& [model, grid, ranks] = GetParam();
  const Arguments job = with({"--model", model, "--max-length", "200", "--samples-per-prompt", "4",
                              "--ignore-eos", "--prefix-memory", "0"},
                             grid);
  const Json all =
      plan_json(with({"--cores", "2", "--memory", "8G", "--prompts", "prompts.txt"}, job));
  const Json& planned = all["grids"][0];
  const ProgramResult run =
      cli().generate(with(job, {"--metrics", "plan.jsonl", "--log-level", "info"}), ranks);
  const std::filesystem::path metrics = cli().file("plan.jsonl");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json summary = cli().metrics("plan.jsonl");
  std::filesystem::remove(metrics);
  const auto most = [&summary](const char* name) { return summary[name]["max"].get<double>(); };

  EXPECT_EQ(planned["parameter_memory_private"].get<double>(), most("parameter_memory_private"));
  EXPECT_EQ(planned["parameter_memory_shared"].get<double>(), most("parameter_memory_shared"));
  const double resident = planned["rank_memory"]["resident"].get<double>();
  EXPECT_NEAR(resident, most("peak_resident_bytes"), 0.15 * most("peak_resident_bytes"));
  EXPECT_NEAR(most("predicted_resident_bytes"), most("peak_resident_bytes"),
              0.15 * most("peak_resident_bytes"));
  EXPECT_NE(run.err.find("for these rows"), std::string::npos) << run.err;
  const double read = summary["parameter_bytes_read"]["mean"].get<double>() * ranks;
  EXPECT_NEAR(planned["bytes_read"].get<double>(), read, 0.02 * read);
  // Rows of a replica come in an order of their own, so that passes differ a little.
  const double passes = summary["passes"].get<double>() / planned["replicas"].get<double>();
  EXPECT_NEAR(planned["passes"].get<double>(), passes, 0.1 * passes);
  const double exchanged = (summary["parameter_bytes_received"]["mean"].get<double>() +
                            summary["exchange_bytes_received"]["mean"].get<double>()) *
                           ranks;
  EXPECT_NEAR(planned["bytes_exchanged"].get<double>(), exchanged, 0.1 * exchanged + 1);
  const auto file = static_cast<double>(std::filesystem::file_size(cli().file("out.h5")));
  EXPECT_NEAR(all["result_bytes"].get<double>(), file, 8192);
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, PlanOfARun,
    ::testing::Values(
        RunCase{"stories.h5", {"--dp", "1"}, 1}, RunCase{"shakespeare.h5", {"--dp", "1"}, 1},
        RunCase{"stories.h5", {"--dp", "2"}, 2},
        RunCase{"stories.h5", {"--dp", "1", "--tp", "2"}, 2},
        RunCase{"stories.h5", {"--dp", "1", "--fsdp", "2"}, 2},
        RunCase{"shakespeare.h5", {"--dp", "1", "--fsdp", "2", "--gather-params-once"}, 2}));

TEST(Plan, OfThisMachineTakesItsMemory) {
  const Json all = plan_json({"--here", "--model", "stories.h5", "--prompts", "prompts.txt",
                              "--max-length", "64", "--dp", "1"});
  EXPECT_EQ(all["machine"]["nodes"], 1);
  EXPECT_GT(all["machine"]["memory"].get<double>(), 1e8);
  EXPECT_EQ(all["rows"], 4);
  EXPECT_GT(all["prompt_tokens"].get<double>(), 1);
}

TEST(Plan, CalibratesOnThisMachine) {
  const Arguments job = {"--model", "shakespeare.h5", "--rows", "64",   "--prompt-tokens",
                         "20",      "--new-tokens",   "30",     "--dp", "1"};
  const Json all = plan_json(with({"--here", "--calibrate"}, job));
  EXPECT_GT(all["limits"]["read_gb_per_s"].get<double>(), 0.1);
  const double share = all["share_of_limits"].get<double>();
  EXPECT_GT(share, 0);
  EXPECT_LE(share, 1);
  EXPECT_GT(all["grids"][0]["generate_s"].get<double>(), 0);
  // What one machine has printed is what another one takes.
  cli().folder().write("calibrated.json", all.dump());
  const Json other =
      plan_json(with({"--cores", "2", "--memory", "8G", "--limits", "calibrated.json"}, job));
  EXPECT_EQ(other["share_of_limits"], all["share_of_limits"]);
  EXPECT_EQ(other["limits"], all["limits"]);
  EXPECT_EQ(plan(with(kCluster, with(job, {"--calibrate"}))).exit_code, 64);
}

}  // namespace
}  // namespace gridmill
