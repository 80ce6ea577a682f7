// Weights of 8 and 4 bits, from convert to the result file.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using test::slurp;
using Words = std::vector<std::string>;

const std::string kStories = std::string(GRIDMILL_MODELS_DIR) + "/stories260K";
const std::string kShakespeare = std::string(GRIDMILL_MODELS_DIR) + "/tiny-xlstm-shakespeare";

ProgramResult convert(const Words& extra) {
  Words words = {"convert"};
  words.insert(words.end(), extra.begin(), extra.end());
  return cli().run(words);
}

class CodedWeights : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    for (const Words& source : {Words{kStories + "/stories260K.bin", file("stories"), "--tokenizer",
                                      kStories + "/tok512.bin"},
                                Words{kShakespeare, file("shakespeare")}}) {
      Words words = source;
      words.insert(words.end(), {"--weights", GetParam()});
      const ProgramResult result = convert(words);
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
  }
  [[nodiscard]] static std::string file(const std::string& model) {
    return cli().file(model + "-" + GetParam() + ".h5");
  }
  /// Bytes of the result file.
  static std::string generated(const std::string& model, const Words& extra, int ranks = 1) {
    Words words = {"--model", model, "--temperature", "0.8", "--seed", "3", "--logprobs"};
    words.insert(words.end(), extra.begin(), extra.end());
    const ProgramResult result = cli().generate(words, ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return slurp(cli().file("out.h5"));
  }
};

TEST_P(CodedWeights, EveryBackendTargetAndGridWritesTheSameBytes) {
  for (const std::string model : {"stories", "shakespeare"}) {
    const std::string expected = generated(file(model), {"--backend", "reference"});
    EXPECT_EQ(Json(cli().result().job().fields).at("numerics"), "cpu-1-int8");
    for (const Words& extra : {Words{}, Words{"--compute-dtype", "int8", "--threads", "2"},
                               Words{"--kernel-target", "avx2", "--slots", "1"}}) {
      EXPECT_TRUE(generated(file(model), extra) == expected) << model << " " << extra.size();
    }
    for (const Words& grid :
         {Words{"--tp", "2"}, Words{"--fsdp", "2"}, Words{"--fsdp", "2", "--gather-params-once"}}) {
      Words words = grid;
      words.insert(words.end(), {"--fsdp-min-weight-size", "0", "--dp", "1"});
      EXPECT_TRUE(generated(file(model), words, 2) == expected) << model << " " << grid.front();
    }
  }
}

TEST_P(CodedWeights, VerifyGeneratesTheSameRows) {
  generated(file("stories"), {});
  for (const Words& extra : {Words{}, Words{"--backend", "reference"}}) {
    Words words = {"verify",      "out.h5",    "--model", file("stories"), "--prompts",
                   "prompts.txt", "--threads", "1",       "--log-level",   "warn"};
    words.insert(words.end(), extra.begin(), extra.end());
    const ProgramResult result = cli().run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
  }
}

/// The model with code * scale in place of codes, in fp32.
void write_dequantized(const std::string& from, const std::string& to) {
  const CheckpointFile source = CheckpointFile::open(from);
  CheckpointDescription description{.model = source.model(),
                                    .parameters = {},
                                    .files = source.files(),
                                    .tokenizer_kind = source.tokenizer_kind(),
                                    .tokenizer = source.tokenizer()};
  int coded = 0;
  for (const StoredParameter& parameter : source.parameters()) {
    description.parameters.push_back({.spec = parameter.spec, .dtype = parameter.dtype});
    if (parameter.format.coded()) ++coded;
  }
  ASSERT_GT(coded, 10);
  CheckpointWriter writer(to, description);
  for (const StoredParameter& parameter : source.parameters()) {
    const std::vector<std::int64_t>& shape = parameter.spec.shape;
    if (!parameter.format.coded()) {
      std::vector<std::byte> bytes(parameter.size_bytes());
      source.read_elements(parameter,
                           {0, static_cast<std::int64_t>(bytes.size() / size_of(parameter.dtype))},
                           bytes);
      writer.append(parameter.spec.name, bytes);
      continue;
    }
    std::vector<std::byte> codes(static_cast<std::size_t>(shape[1]));
    std::vector<std::uint16_t> scales(static_cast<std::size_t>(parameter.groups()));
    std::vector<float> values(codes.size());
    for (std::int64_t row = 0; row < shape[0]; ++row) {
      source.read_codes(parameter, {row, 1}, {0, shape[1]}, codes);
      source.read_scales(parameter, {row, 1}, {0, parameter.groups()},
                         std::as_writable_bytes(std::span(scales)));
      dequantize_row(codes, scales, parameter.format, parameter.block, values);
      writer.append(parameter.spec.name, std::as_bytes(std::span(values)));
    }
  }
  writer.finish();
}

TEST_P(CodedWeights, OtherComputeTypesHaveTheBitsOfTheDequantizedModel) {
  for (const std::string model : {"stories", "shakespeare"}) {
    const std::string values = cli().file("values.h5");
    write_dequantized(file(model), values);
    for (const Words& types : {Words{"--compute-dtype", "bf16"}, Words{"--compute-dtype", "fp32"},
                               Words{"--compute-dtype", "bf16", "--param-dtype", "bf16"},
                               Words{"--param-dtype", "fp32"}}) {
      const auto rows = [&](const std::string& path) {
        static_cast<void>(generated(path, types));
        std::vector<std::pair<std::vector<TokenId>, std::vector<float>>> all;
        for (RowId row = 0; row < cli().result().layout().shape.rows; ++row) {
          const StoredRow stored = cli().result().read_row(row);
          all.emplace_back(stored.tokens, stored.logprobs);
        }
        return all;
      };
      EXPECT_EQ(rows(file(model)), rows(values)) << model << " " << types.back();
    }
  }
}

TEST_P(CodedWeights, InspectNamesCodesAndChecksThem) {
  const ProgramResult result = cli().run({"inspect", file("stories"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json found = Json::parse(result.out);
  const std::string expected = GetParam() + "/32";
  int coded = 0;
  for (const Json& tensor : found.at("tensors")) {
    if (tensor.at("dtype") == expected) ++coded;
    if (tensor.at("name") == "embedding") {
      EXPECT_EQ(tensor.at("dtype"), "fp32");
    }
  }
  EXPECT_GE(coded, 5 * 7) << "each of 5 layers: q, k, v, output, gate, up, down";
  const double share = found.at("parameter_bytes").get<double>() / (4 * 260032.0);
  EXPECT_LT(share, GetParam() == "int8" ? 0.41 : 0.28);
}

INSTANTIATE_TEST_SUITE_P(Codes, CodedWeights, testing::Values("int8", "int4"),
                         [](const auto& codes) { return codes.param; });

TEST(ConvertCodes, WhatDoesNotGoTogetherIsRefused) {
  const Words source = {kStories + "/stories260K.bin", cli().file("x.h5"), "--tokenizer",
                        kStories + "/tok512.bin"};
  Words words = source;
  words.insert(words.end(), {"--weights", "int5"});
  EXPECT_EQ(convert(words).exit_code, 64);
  const ProgramResult plain = cli().generate({"--compute-dtype", "int8"});
  EXPECT_EQ(plain.exit_code, 64) << plain.err;
  EXPECT_NE(plain.err.find("--weights int8"), std::string::npos) << plain.err;
}

TEST(ConvertCodes, GatesKeepTheirValues) {
  const ProgramResult made = convert({kShakespeare, cli().file("grouped.h5"), "--weights", "int8"});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const CheckpointFile file = CheckpointFile::open(cli().file("grouped.h5"));
  int coded = 0;
  for (const StoredParameter& parameter : file.parameters()) {
    if (!parameter.format.coded()) continue;
    ++coded;
    EXPECT_EQ(parameter.format.group, 32);
    EXPECT_FALSE(parameter.spec.name.ends_with(".i_gate")) << parameter.spec.name;
  }
  EXPECT_GT(coded, 0);
  EXPECT_TRUE(file.damaged_parameters().empty());
}

}  // namespace
}  // namespace gridmill
