// Foreign checkpoints that do not say what they should: `gridmill convert` leaves with the
// documented exit code and one line that names file and tensor or field, and without a DST.

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "support/safetensors_writer.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

class BadSource : public testing::Test {
 protected:
  void SetUp() override {
    const std::filesystem::path model =
        std::filesystem::path(GRIDMILL_MODELS_DIR) / "tiny-xlstm-shakespeare";
    std::filesystem::remove_all(cli().file("source"));
    std::filesystem::create_directories(cli().file("source"));
    for (const char* name : {"config.json", "model.safetensors"}) {
      std::filesystem::copy_file(model / name, cli().file(std::string("source/") + name));
    }
  }
  void TearDown() override { EXPECT_FALSE(std::filesystem::exists(cli().file("made.h5"))); }

  static ProgramResult convert(const std::string& source = "source") {
    return cli().run({"convert", source, "made.h5"});
  }
  static Json config() { return Json::parse(slurp(cli().file("source/config.json"))); }
  static void write_config(const Json& config) {
    cli().folder().write("source/config.json", config.dump());
  }
  /// Rewrites the header of the safetensors file; the data stays.
  template <typename Change>
  static void change_header(const Change& change) {
    const std::string bytes = slurp(cli().file("source/model.safetensors"));
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof length);
    Json header = Json::parse(bytes.substr(sizeof length, length));
    change(header);
    cli().folder().write("source/model.safetensors",
                         test::SafetensorsWriter::bytes_with_header(
                             header.dump(), bytes.substr(sizeof length + length)));
  }
  static constexpr const char* kTensor = "backbone.embeddings.weight";
};

TEST_F(BadSource, IsMissing) { EXPECT_TRUE(fails_with(convert("nowhere"), 66, {"nowhere"})); }

TEST_F(BadSource, HasNoConfig) {
  std::filesystem::remove(cli().file("source/config.json"));
  EXPECT_TRUE(fails_with(convert(), 65, {"source", "config.json"}));
}

TEST_F(BadSource, IsOfAnUnknownArchitecture) {
  Json changed = config();
  changed["model_type"] = "mamba";
  changed["architectures"] = {"MambaForCausalLM"};
  write_config(changed);
  EXPECT_TRUE(fails_with(convert(), 65, {"config.json", "unsupported", "mamba"}));
}

TEST_F(BadSource, HasTruncatedWeights) {
  const std::string bytes = slurp(cli().file("source/model.safetensors"));
  for (const std::size_t size : {std::size_t{4}, std::size_t{100}, bytes.size() - 1}) {
    cli().folder().write("source/model.safetensors", bytes.substr(0, size));
    EXPECT_TRUE(fails_with(convert(), 65, {"model.safetensors"})) << size;
  }
}

TEST_F(BadSource, HasAnOptionThatNobodyKnows) {
  Json changed = config();
  changed["gate_activation"] = "tanh";
  write_config(changed);
  EXPECT_TRUE(fails_with(convert(), 65, {"config.json", "gate_activation", "tanh", "unsupported"}));
}

TEST_F(BadSource, AsksForWhatWeDoNotRun) {
  Json changed = config();
  changed["weight_mode"] = "shared";
  write_config(changed);
  EXPECT_TRUE(fails_with(convert(), 65, {"config.json", "weight_mode", "shared", "unsupported"}));
}

TEST_F(BadSource, HasABrokenConfig) {
  cli().folder().write("source/config.json", R"({"model_type": "xlstm",)");
  EXPECT_TRUE(fails_with(convert(), 65, {"config.json", "JSON"}));
}

TEST_F(BadSource, HasABrokenTokenizer) {
  cli().folder().write("source/tokenizer.json", R"({"model": {"type": "BPE")");
  EXPECT_TRUE(fails_with(convert(), 65, {"tokenizer.json"}));
}

TEST_F(BadSource, HasOffsetsOutsideTheFile) {
  change_header([](Json& header) {
    header[kTensor]["data_offsets"] = {std::uint64_t{1} << 40, (std::uint64_t{1} << 40) + 262144};
  });
  EXPECT_TRUE(fails_with(convert(), 65, {"model.safetensors", kTensor, "leave the file"}));
}

TEST_F(BadSource, HasTensorsThatOverlap) {
  change_header([](Json& header) {
    const std::uint64_t begin = header["lm_head.weight"]["data_offsets"][0];
    const std::uint64_t end = header["lm_head.weight"]["data_offsets"][1];
    const std::uint64_t step = begin == 0 ? 4 : -std::uint64_t{4};
    header["lm_head.weight"]["data_offsets"] = {begin + step, end + step};
  });
  EXPECT_TRUE(fails_with(convert(), 65, {"model.safetensors", "lm_head.weight", "overlap"}));
}

TEST_F(BadSource, SaysThatItsHeaderIsHuge) {
  std::string bytes = slurp(cli().file("source/model.safetensors"));
  bytes[6] = 1;  // 2^48 more bytes
  cli().folder().write("source/model.safetensors", bytes);
  EXPECT_TRUE(fails_with(convert(), 65, {"model.safetensors", "header"}));
}

TEST_F(BadSource, HasATypeThatDoesNotFitTheSize) {
  change_header([](Json& header) { header[kTensor]["dtype"] = "F16"; });
  EXPECT_TRUE(fails_with(convert(), 65, {"model.safetensors", kTensor, "262144 bytes", "F16"}));
}

TEST_F(BadSource, LacksATensor) {
  change_header([](Json& header) { ASSERT_EQ(header.erase(kTensor), 1U); });
  EXPECT_TRUE(fails_with(convert(), 65, {kTensor, "missing"}));
}

TEST_F(BadSource, HasATensorOfAnotherShape) {
  change_header([](Json& header) {
    ASSERT_TRUE(header.contains(kTensor));
    std::swap(header[kTensor]["shape"][0], header[kTensor]["shape"][1]);
  });
  EXPECT_TRUE(fails_with(convert(), 65, {kTensor, "[128, 512]", "[512, 128]"}));
}

TEST_F(BadSource, IsALlama2cFileCutShort) {
  const std::string models = GRIDMILL_MODELS_DIR;
  const std::string bytes = slurp(models + "/stories260K/stories260K.bin");
  for (const std::size_t size : {std::size_t{0}, std::size_t{20}, std::size_t{5000}}) {
    cli().folder().write("cut.bin", bytes.substr(0, size));
    EXPECT_TRUE(fails_with(cli().run({"convert", "cut.bin", "made.h5", "--tokenizer",
                                      models + "/stories260K/tok512.bin"}),
                           65, {"cut.bin"}))
        << size;
  }
}

}  // namespace
}  // namespace gridmill
