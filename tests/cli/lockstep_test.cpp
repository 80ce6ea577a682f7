// The fixed-batch mode through the command line, and the recorded runs of xlstm-jax through it.

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;

using Matrix = std::vector<std::vector<std::int32_t>>;

/// Writes an .h5 prompt file: prefix_tokens [B, P], prefix_mask [B, P] if `mask` is given.
void write_prefixes(const std::string& name, std::uint64_t rows, std::uint64_t columns,
                    const std::vector<std::int32_t>& tokens,
                    const std::optional<std::vector<std::uint8_t>>& mask) {
  h5::File file = h5::File::create(cli().file(name));
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {rows, columns})
      .write_rows(0, rows, std::as_bytes(std::span(tokens)));
  if (mask) {
    file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), {rows, columns})
        .write_rows(0, rows, std::as_bytes(std::span(*mask)));
  }
  file.close();
}

void write_small_batch() {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> mask;
  for (int row = 0; row < 8; ++row) {
    for (int column = 0; column < 4; ++column) {
      tokens.push_back(300 + 7 * row + column);
      mask.push_back(column != 2 || row % 2 == 0 ? 1 : 0);
    }
  }
  write_prefixes("batch.h5", 8, 4, tokens, mask);
}

std::vector<std::string> lockstep(std::vector<std::string> extra,
                                  const std::string& prompts = "batch.h5") {
  std::vector<std::string> options = {"--lockstep",    "--prompts", prompts,
                                      "--temperature", "1",         "--eod-token-id=-1"};
  options.insert(options.end(), extra.begin(), extra.end());
  return options;
}

/// A dataset of out.h5.
template <typename T>
std::vector<T> made(const std::string& dataset) {
  return h5::File::open(cli().file("out.h5")).dataset(dataset).read_as<T>();
}

std::vector<std::vector<TokenId>> rows_of(const std::vector<std::string>& options, int ranks = 1) {
  write_small_batch();
  const ProgramResult result = cli().generate(options, ranks);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::vector<TokenId>> rows;
  for (RowId row = 0; row < 8; ++row) rows.push_back(cli().tokens(row));
  return rows;
}

TEST(GenerateOption, lockstep) {
  rows_of(lockstep({}));
  EXPECT_EQ(cli().result().layout().shape.valid, 1) << "adds the dataset `valid`";
  EXPECT_EQ(cli().result().read_row(1).valid[2], 1) << "a hole is generated";
  EXPECT_EQ(cli().result().job().fields.at("lockstep").at("batch_size"), 8);
}

TEST(GenerateOption, batch_size) {
  const auto whole = rows_of(lockstep({}));
  const auto halves = rows_of(lockstep({"--batch-size", "4"}));
  EXPECT_NE(whole, halves) << "classic JAX noise depends on the batch";
  EXPECT_EQ(cli().generate(lockstep({"--batch-size", "3"})).exit_code, 64);
}

TEST(GenerateOption, rng) {
  const auto jax = rows_of(lockstep({"--rng", "jax"}));
  const auto philox = rows_of(lockstep({"--rng", "philox"}));
  EXPECT_NE(jax, philox);
  EXPECT_EQ(rows_of(lockstep({"--rng", "philox", "--batch-size", "2"})), philox)
      << "philox numbers depend on no batch";
  EXPECT_EQ(rows_of(lockstep({"--rng", "philox", "--dp", "2"}), 2), philox) << "nor on the grid";
}

TEST(GenerateOption, jax_threefry) {
  EXPECT_NE(rows_of(lockstep({"--jax-threefry", "classic"})),
            rows_of(lockstep({"--jax-threefry", "partitionable"})));
}

TEST(Lockstep, AGivenIdOutsideTheVocabularyIsRefused) {
  write_prefixes("bad.h5", 1, 2, {5, 512}, std::nullopt);
  const ProgramResult result = cli().generate(lockstep({}, "bad.h5"));
  EXPECT_EQ(result.exit_code, 65) << result.err;
}

TEST(Lockstep, AOneDimensionalPrefixTakesAOneDimensionalMask) {
  const std::vector<std::int32_t> tokens = {301, 302, 303, 304};
  const std::vector<std::uint8_t> mask = {1, 0, 1, 1};
  write_prefixes("column.h5", 4, 1, tokens, mask);
  ASSERT_EQ(cli().generate(lockstep({}, "column.h5")).exit_code, 0);
  const auto tokens_of_column = made<std::int32_t>("/tokens");
  const auto valid_of_column = made<std::uint8_t>("/valid");
  h5::File file = h5::File::create(cli().file("flat.h5"));
  file.create_dataset("/prefix_tokens", h5::ElementType::of(h5::Kind::i32), {4})
      .write_rows(0, 4, std::as_bytes(std::span(tokens)));
  file.create_dataset("/prefix_mask", h5::ElementType::of(h5::Kind::u8), {4})
      .write_rows(0, 4, std::as_bytes(std::span(mask)));
  file.close();
  const ProgramResult flat = cli().generate(lockstep({}, "flat.h5"));
  ASSERT_EQ(flat.exit_code, 0) << flat.err;
  EXPECT_EQ(made<std::int32_t>("/tokens"), tokens_of_column);
  EXPECT_EQ(made<std::uint8_t>("/valid"), valid_of_column);
  EXPECT_EQ(valid_of_column[0], 1);
  EXPECT_EQ(valid_of_column[24], 0) << "a row whose first token is masked is invalid as a whole";
}

TEST(Lockstep, TheRequestThatDeadlocksXlstmJaxFinishesWithTheSameRowsForBothValues) {
  // Rows of the first rank of an fsdp group end early, its neighbour's never do.
  write_small_batch();
  std::vector<std::vector<std::int32_t>> tokens;
  std::vector<std::vector<std::uint8_t>> valid;
  for (const std::string once : {"false", "true"}) {
    const ProgramResult result = cli().generate(
        {"--lockstep", "--prompts", "batch.h5", "--temperature", "1", "--eod-token-id=425", "--dp",
         "2", "--fsdp", "2", "--fsdp-min-weight-size", "0", "--gather-params-once=" + once},
        4);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    tokens.push_back(made<std::int32_t>("/tokens"));
    valid.push_back(made<std::uint8_t>("/valid"));
  }
  EXPECT_EQ(tokens[0], tokens[1]);
  EXPECT_EQ(valid[0], valid[1]);
  const ResultFile file = cli().result();
  for (RowId row : {0, 1}) EXPECT_LT(file.read_row(row).record.length, 20U) << row;
  for (RowId row : {2, 3}) EXPECT_EQ(file.read_row(row).record.length, 24U) << row;
}

TEST(Lockstep, TensorParallelRanksGiveTheSameRows) {
  for (const std::string model : {"stories.h5", "shakespeare.h5"}) {
    const auto alone = rows_of(lockstep({"--model", model}));
    EXPECT_EQ(rows_of(lockstep({"--model", model, "--tp", "2"}), 2), alone) << model;
    EXPECT_EQ(rows_of(lockstep({"--model", model, "--tp", "4"}), 4), alone) << model;
  }
}

TEST(Lockstep, TextPromptsAreRefused) {
  EXPECT_EQ(cli().generate({"--lockstep", "--prompts", "prompts.txt"}).exit_code, 64);
}

/// One recorded run; the text says what differed, if anything did.
std::string replay(const h5::File& golden, const std::string& run, const std::string& model,
                   bool gather_params_once) {
  const auto number = [&](const char* name) { return golden.read_integer_attribute(run, name); };
  const auto text = [&](const char* name) { return golden.read_text_attribute(run, name); };
  const h5::Dataset prefix = golden.dataset(run + "/prefix_tokens");
  const std::uint64_t rows = prefix.shape()[0];
  const std::uint64_t columns = prefix.shape().size() > 1 ? prefix.shape()[1] : 1;
  std::optional<std::vector<std::uint8_t>> mask;
  if (golden.exists(run + "/prefix_mask")) {
    mask = golden.dataset(run + "/prefix_mask").read_as<std::uint8_t>();
  }
  write_prefixes("recorded.h5", rows, columns, prefix.read_as<std::int32_t>(), mask);
  const std::string temperature =
      text("sampler") == "greedy"
          ? "0"
          : std::to_string(golden.read_number_attribute(run, "temperature"));
  const std::int64_t dp = number("mesh_dp");
  const std::int64_t fsdp = number("mesh_fsdp");
  std::vector<std::string> options = {
      "--lockstep",
      "--allow-long",
      "--model",
      model,
      "--prompts",
      "recorded.h5",
      "--temperature=" + temperature,
      "--seed",
      std::to_string(number("seed")),
      "--max-length",
      std::to_string(number("max_length")),
      "--eod-token-id=" + std::to_string(number("eod_token_id")),
      "--dp",
      std::to_string(dp),
      "--fsdp",
      std::to_string(fsdp),
      "--fsdp-min-weight-size",
      "0",
      gather_params_once ? "--gather-params-once=true" : "--gather-params-once=false"};
  const std::string param_dtype = text("param_dtype");
  if (param_dtype == "bfloat16") {
    options.insert(options.end(), {"--param-dtype", "bf16", "--compute-dtype", "fp32"});
  }
  const ProgramResult result = cli().generate(options, static_cast<int>(dp * fsdp));
  if (result.exit_code != 0)
    return "exit code " + std::to_string(result.exit_code) + ": " + result.err;
  std::vector<std::int32_t> tokens = made<std::int32_t>("/tokens");
  const auto valid = made<std::uint8_t>("/valid");
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] *= valid[i];
  if (tokens != golden.dataset(run + "/tokens").read_as<std::int32_t>()) return "other tokens";
  if (valid != golden.dataset(run + "/valid").read_as<std::uint8_t>()) return "another mask";
  return "";
}

class RecordedRuns : public testing::TestWithParam<std::string> {};

TEST_P(RecordedRuns, TokensAndMasksAreThoseOfXlstmJax) {
  const std::string folder = std::string(GRIDMILL_GOLDEN_DIR) + "/xlstm-jax/";
  if (std::string(GRIDMILL_GOLDEN_DIR).empty() || !std::filesystem::exists(folder)) {
    GTEST_SKIP() << "needs GRIDMILL_GOLDEN_DIR (recorded runs of xlstm-jax)";
  }
  const std::string model = std::string(GetParam()) + "-converted.h5";
  ASSERT_EQ(cli().run({"convert", folder + GetParam() + ".h5", model}).exit_code, 0);
  const h5::File golden = h5::File::open(folder + GetParam() + ".h5");
  int runs = 0;
  for (const h5::Link& link : golden.links("/runs")) {
    if (link.kind != h5::LinkKind::group || link.path.find('/', 6) != std::string::npos) continue;
    EXPECT_EQ(replay(golden, link.path, model, false), "") << link.path;
    const bool mesh = golden.read_integer_attribute(link.path, "mesh_dp") *
                          golden.read_integer_attribute(link.path, "mesh_fsdp") >
                      1;
    if (mesh) {
      EXPECT_EQ(replay(golden, link.path, model, true), "") << link.path;
    }
    ++runs;
  }
  EXPECT_GE(runs, 22);
}

INSTANTIATE_TEST_SUITE_P(Models, RecordedRuns,
                         testing::Values("xlstm_v1_scan", "llama_scan", "xlstm_v0_conv",
                                         "xlstm_v1_blocks", "llama_blocks"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace gridmill
