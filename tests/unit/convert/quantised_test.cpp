// Every reader of quantised weights against what the format's own tool makes of the same file
// (tests/data/convert/quantised), and files that do not say what they should.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "convert/quantised/quantisation.hpp"
#include "convert/safetensors_detail.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using convert_detail::ConfigFields;
using convert_detail::ForeignTensor;
using convert_detail::ForeignTensors;
using convert_detail::ModelFolder;
using test::contains_all;
using test::Outcome;
using test::SafetensorsWriter;
using test::TemporaryFolder;

const std::string kData = GRIDMILL_TEST_DATA "/convert/quantised";

std::vector<float> all_of(const ForeignTensor& tensor) {
  std::vector<float> values(
      static_cast<std::size_t>(convert_detail::element_count(tensor.shape())));
  tensor.read(0, values);
  return values;
}

/// Expands the weights of `tensors` as a config.json with this quantization_config asks for.
void expand(const Json& settings, ForeignTensors& tensors) {
  const Json config = {{"quantization_config", settings}};
  ConfigFields fields(config, "config.json");
  convert_detail::expand_quantised(*convert_detail::read_quantisation(fields), tensors, "folder");
}

class QuantisedFile : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ModelFolder folder(kData);
    convert_detail::add_safetensors_file(folder, GetParam() + ".safetensors", tensors_);
    expand(parse_json(folder.read(GetParam() + ".json"), GetParam()), tensors_);
  }
  ForeignTensors tensors_;
};

TEST_P(QuantisedFile, HasTheValuesOfItsOwnTool) {
  const ForeignTensor* expected = tensors_.find("expected.m.weight");
  const ForeignTensor* made = tensors_.find("m.weight");
  ASSERT_NE(expected, nullptr);
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(made->shape(), expected->shape());
  EXPECT_EQ(all_of(*made), all_of(*expected));
  EXPECT_TRUE(made->floating());
  EXPECT_EQ(made->stored_as(), DType::bf16);
}

TEST_P(QuantisedFile, IsReadInPiecesOfAnySize) {
  const ForeignTensor& made = *tensors_.find("m.weight");
  const std::vector<float> whole = all_of(made);
  std::vector<float> pieces(whole.size());
  const std::size_t step = 77;  // divides no row
  for (std::size_t first = 0; first < whole.size(); first += step) {
    made.read(static_cast<std::int64_t>(first),
              std::span(pieces).subspan(first, std::min(step, whole.size() - first)));
  }
  EXPECT_EQ(pieces, whole);
}

TEST_P(QuantisedFile, LeavesNoPartUnused) {
  EXPECT_EQ(tensors_.unused(), (std::vector<std::string>{"expected.m.weight", "m.weight"}));
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantisedFile,
                         testing::Values("gptq", "gptq8", "gptq_order", "awq", "ct_w4a16",
                                         "ct_w4a16_zeros", "ct_w8a16", "ct_w8a8", "ct_fp8_channel",
                                         "ct_fp8_tensor", "ct_fp8_block", "ct_mxfp4", "fp8_block",
                                         "fp8_tensor", "fp8_channel", "fp8_all_codes", "bnb_nf4",
                                         "bnb_nf4_double", "bnb_fp4", "bnb_int8"),
                         [](const auto& one) { return one.param; });

/// A file that does not say what it should.
struct BadFile {
  std::string name;
  Json settings;
  std::function<void(SafetensorsWriter&)> write;
  std::vector<std::string> expected;
};
void PrintTo(const BadFile& value, std::ostream* out) { *out << value.name; }

std::string zeros(std::size_t bytes) { return std::string(bytes, '\0'); }

const Json kGptq = {{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 16}};
const Json kFp8 = {{"quant_method", "fp8"}, {"weight_block_size", {8, 8}}};
const Json kNf4 = {
    {"quant_method", "bitsandbytes"}, {"load_in_4bit", true}, {"bnb_4bit_quant_type", "nf4"}};

Json packed(Json changes) {
  Json weights = {{"num_bits", 4}, {"type", "int"}, {"strategy", "group"}, {"group_size", 16}};
  weights.update(changes);
  return {{"quant_method", "compressed-tensors"},
          {"format", "pack-quantized"},
          {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}}};
}

/// A gptq weight of 8 outputs and 32 inputs.
void write_gptq(SafetensorsWriter& file, const std::string& without = "") {
  const auto add = [&](const char* name, const char* type, SafetensorsWriter::Shape shape,
                       std::size_t bytes) {
    if (name != without) file.add_raw(name, type, shape, zeros(bytes));
  };
  add("m.qweight", "I32", {4, 8}, 128);
  add("m.qzeros", "I32", {2, 1}, 8);
  add("m.scales", "F16", {2, 8}, 32);
}

void write_packed(SafetensorsWriter& file, std::int64_t inputs) {
  file.add_raw("m.weight_packed", "I32", {8, 4}, zeros(128));
  file.add_raw("m.weight_shape", "I64", {2},
               SafetensorsWriter::bytes_of(std::vector<std::int64_t>{8, inputs}));
  file.add("m.weight_scale", {8, 2}, std::vector<float>(16, 1.0F));
}

/// An nf4 weight [4, 32]: two blocks.
void write_nf4(SafetensorsWriter& file, const std::string& state, std::int64_t blocks = 2) {
  file.add_raw("m.weight", "U8", {64, 1}, zeros(64));
  file.add("m.weight.absmax", {blocks}, std::vector<float>(static_cast<std::size_t>(blocks)));
  file.add("m.weight.quant_map", {16}, std::vector<float>(16));
  file.add_raw("m.weight.quant_state.bitsandbytes__nf4", "U8",
               {static_cast<std::int64_t>(state.size())}, state);
}

std::vector<BadFile> bad_files() {
  const auto with = [](Json settings, const char* name, Json value) {
    settings[name] = std::move(value);
    return settings;
  };
  const auto gptq = [](SafetensorsWriter& file) { write_gptq(file); };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::string state = R"({"shape": [4, 32], "blocksize": 64})";
  return {
      {"unknown_method", {{"quant_method", "hqq"}}, gptq, {"quant_method", "hqq", "unsupported"}},
      {"no_method", Json::object(), gptq, {"quant_method", "missing"}},
      {"three_bits", with(kGptq, "bits", 3), gptq, {"bits", "3", "unsupported"}},
      {"no_bits", with(kGptq, "bits", 0), gptq, {"bits"}},
      {"marlin", with(kGptq, "checkpoint_format", "marlin"), gptq, {"checkpoint_format", "marlin"}},
      {"group_does_not_divide", with(kGptq, "group_size", 12), gptq, {"m.qweight", "32", "12"}},
      {"no_group", with(kGptq, "group_size", 0), gptq, {"group_size"}},
      {"no_scales", kGptq, [](auto& file) { write_gptq(file, "m.scales"); }, {"m.scales"}},
      {"wrong_zeros",
       kGptq,
       [](auto& file) {
         write_gptq(file, "m.qzeros");
         file.add_raw("m.qzeros", "I32", {2, 2}, zeros(16));
       },
       {"m.qzeros", "[2, 2]", "[2, 1]"}},
      {"scales_of_integers",
       kGptq,
       [](auto& file) {
         write_gptq(file, "m.scales");
         file.add_raw("m.scales", "I32", {2, 8}, zeros(64));
       },
       {"m.scales", "I32"}},
      {"nan_scale",
       kGptq,
       [nan](auto& file) {
         write_gptq(file, "m.scales");
         file.add("m.scales", {2, 8}, std::vector<float>(16, nan));
       },
       {"m.scales", "finite"}},
      {"group_out_of_range",
       kGptq,
       [](auto& file) {
         write_gptq(file);
         file.add_raw("m.g_idx", "I32", {32},
                      SafetensorsWriter::bytes_of(std::vector<std::int32_t>(32, 2)));
       },
       {"m.g_idx", "2"}},
      {"nothing_quantised",
       kGptq,
       [](auto& file) {
         file.add("m.weight", {2}, {1, 2});
       },
       {"no weight"}},
      {"awq_gemv",
       {{"quant_method", "awq"}, {"bits", 4}, {"version", "gemv"}},
       gptq,
       {"version", "gemv", "unsupported"}},
      {"marlin_24",
       with(packed(Json::object()), "format", "marlin-24"),
       gptq,
       {"format", "marlin-24", "unsupported"}},
      {"packed_group_does_not_divide",
       packed({{"group_size", 24}}),
       [](auto& file) { write_packed(file, 32); },
       {"m.weight_packed", "24"}},
      {"shape_lies",
       packed(Json::object()),
       [](auto& file) { write_packed(file, 33); },
       {"m.weight_shape", "33"}},
      {"shape_is_huge",
       packed(Json::object()),
       [](auto& file) { write_packed(file, std::int64_t{1} << 62); },
       {"m.weight_shape"}},
      {"fp8_grid",
       kFp8,
       [](auto& file) {
         file.add_raw("m.weight", "F8_E4M3", {16, 16}, zeros(256));
         file.add("m.weight_scale_inv", {3, 2}, std::vector<float>(6, 1.0F));
       },
       {"m.weight_scale_inv", "[3, 2]", "[2, 2]"}},
      {"fp8_nan_scale",
       kFp8,
       [nan](auto& file) {
         file.add_raw("m.weight", "F8_E4M3", {16, 16}, zeros(256));
         file.add("m.weight_scale_inv", {2, 2}, std::vector<float>(4, nan));
       },
       {"m.weight_scale_inv", "finite"}},
      {"fp8_scale_alone",
       kFp8,
       [](auto& file) { file.add("m.weight_scale_inv", {1}, {1}); },
       {"m.weight"}},
      {"nf4_blocks",
       kNf4,
       [state](auto& file) { write_nf4(file, state, 3); },
       {"m.weight.absmax", "[3]", "[2]"}},
      {"nf4_shape",
       kNf4,
       [](auto& file) { write_nf4(file, R"({"shape": [4, 33]})"); },
       {"m.weight", "[4, 33]"}},
      {"nf4_huge_shape",
       kNf4,
       [](auto& file) { write_nf4(file, R"({"shape": [2147483647, 2147483647]})"); },
       {"m.weight"}},
      {"nf4_no_json", kNf4, [](auto& file) { write_nf4(file, "{"); }, {"quant_state"}},
      {"both_bits", with(kNf4, "load_in_8bit", true), gptq, {"load_in_4bit"}},
  };
}

class BadQuantisedFile : public testing::TestWithParam<BadFile> {};

TEST_P(BadQuantisedFile, IsRefusedByName) {
  const TemporaryFolder place;
  SafetensorsWriter writer;
  GetParam().write(writer);
  place.write("model.safetensors", writer.bytes());
  const Outcome outcome = test::outcome_of([&] {
    ModelFolder folder(place.path().string());
    ForeignTensors tensors;
    convert_detail::add_safetensors_file(folder, "model.safetensors", tensors);
    expand(GetParam().settings, tensors);
    static_cast<void>(all_of(*tensors.find("m.weight")));
  });
  EXPECT_EQ(outcome.code, ExitCode::bad_input) << outcome.message;
  EXPECT_TRUE(contains_all(outcome.message, GetParam().expected)) << outcome.message;
}
INSTANTIATE_TEST_SUITE_P(Cases, BadQuantisedFile, testing::ValuesIn(bad_files()),
                         [](const auto& one) { return one.param.name; });

TEST(QuantisedFolder, ConvertsToTheSameCheckpointAsTheFolderOfItsValues) {
  // Given a folder whose matrix q of layer 0 is stored as int8 with a scale a row, and the same
  // folder with its values
  test::TinyLlama plain;
  test::TinyLlama quantised;
  const std::string name = "model.layers.0.self_attn.q_proj";
  std::vector<std::int8_t> codes;
  std::vector<float> scales;
  std::vector<float> values;
  for (int row = 0; row < 8; ++row) {
    scales.push_back(0.25F * static_cast<float>(row + 1));
    for (int column = 0; column < 8; ++column) {
      codes.push_back(static_cast<std::int8_t>(11 * row - 7 * column));
      values.push_back(static_cast<float>(codes.back()) * scales.back());
    }
  }
  plain.weights.add_bf16(name + ".weight", {8, 8}, values);
  quantised.weights.add_raw(name + ".weight", "I8", {8, 8}, SafetensorsWriter::bytes_of(codes));
  quantised.weights.add(name + ".weight_scale", {8, 1}, scales);
  Json settings = packed({{"num_bits", 8}, {"strategy", "channel"}});
  settings["config_groups"]["group_0"]["weights"].erase("group_size");
  settings["format"] = "int-quantized";
  quantised.config["quantization_config"] = settings;
  // When both are converted
  const TemporaryFolder folder;
  const TemporaryFolder other;
  convert({.source = plain.write(folder), .destination = folder.file("m.h5")});
  convert({.source = quantised.write(other), .destination = other.file("m.h5")});
  // Then the checkpoints are the same
  EXPECT_EQ(CheckpointFile::open(folder.file("m.h5")).hash(),
            CheckpointFile::open(other.file("m.h5")).hash());
}

}  // namespace
}  // namespace gridmill
