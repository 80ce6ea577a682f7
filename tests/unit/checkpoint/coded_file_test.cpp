// Matrices in codes inside a checkpoint file (docs/formats/checkpoint.md).

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <ios>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/checkpoint/checkpoint_file.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/params/quantize.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

constexpr std::int64_t kRows = 3;
constexpr std::int64_t kInputs = 300;  // blocks of 38: groups of 32 and 6
constexpr std::int64_t kBlock = 38;

std::byte code_at(std::int64_t row, std::int64_t k, const WeightFormat& format) {
  const std::int64_t index = row * 7 + k;
  const std::int64_t code = format.codes == WeightCodes::int8 ? index % 255 - 127 : index % 16 - 8;
  return static_cast<std::byte>(static_cast<std::int8_t>(code));
}
std::uint16_t scale_at(std::int64_t row, std::int64_t group) {
  return static_cast<std::uint16_t>(0x3000 + 64 * row + group);
}

CheckpointDescription description(const WeightFormat& format, std::int64_t block) {
  CheckpointDescription description;
  description.model = {{"family", "llama"}};
  description.parameters = {{{"norm", {5}}, DType::fp32},
                            {{"group/down", {kRows, kInputs}}, DType::fp32, format, block}};
  return description;
}

class CodedFile : public testing::TestWithParam<WeightFormat> {
 protected:
  void SetUp() override {
    const WeightFormat format = GetParam();
    const std::int64_t groups = groups_in(kInputs, kBlock, format.group);
    CheckpointWriter writer(path_, description(format, kBlock));
    writer.append("norm", std::vector<std::byte>(20));
    std::vector<std::byte> codes(kInputs);
    std::vector<std::byte> stored(static_cast<std::size_t>(code_bytes(format.codes, kInputs)));
    for (std::int64_t row = 0; row < kRows; ++row) {
      for (std::int64_t k = 0; k < kInputs; ++k) {
        codes[static_cast<std::size_t>(k)] = code_at(row, k, format);
      }
      stored = codes;
      if (format.codes == WeightCodes::int4) {
        stored.resize(static_cast<std::size_t>(code_bytes(format.codes, kInputs)));
        pack_int4_row(codes, stored);
      }
      writer.append("group/down", stored);
      std::vector<std::uint16_t> scales;
      for (std::int64_t group = 0; group < groups; ++group) scales.push_back(scale_at(row, group));
      writer.append_scales("group/down", std::as_bytes(std::span(scales)));
    }
    writer.finish();
  }
  [[nodiscard]] std::string message_of_open() const {
    try {
      static_cast<void>(CheckpointFile::open(path_));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("model.h5");
};

TEST_P(CodedFile, GivesBackCodesAndScalesOfAnyBlocks) {
  const CheckpointFile file = CheckpointFile::open(path_);
  const StoredParameter& parameter = file.require({"group/down", {kRows, kInputs}});
  EXPECT_EQ(parameter.format, GetParam());
  EXPECT_EQ(parameter.block, kBlock);
  EXPECT_EQ(parameter.groups(), 2 * 7 + 2);
  EXPECT_EQ(parameter.dtype, DType::fp32);
  for (const IndexRange& columns :
       {IndexRange{0, kInputs}, IndexRange{38, 38}, IndexRange{266, 34}, IndexRange{76, 0}}) {
    std::vector<std::byte> codes(static_cast<std::size_t>(2 * columns.count));
    file.read_codes(parameter, {1, 2}, columns, codes);
    for (std::int64_t i = 0; i < 2 * columns.count; ++i) {
      EXPECT_EQ(codes[static_cast<std::size_t>(i)],
                code_at(1 + i / columns.count, columns.first + i % columns.count, GetParam()))
          << columns.first << " " << i;
    }
  }
  std::vector<std::uint16_t> scales(6);
  file.read_scales(parameter, {0, 3}, {4, 2}, std::as_writable_bytes(std::span(scales)));
  EXPECT_EQ(scales, (std::vector<std::uint16_t>{scale_at(0, 4), scale_at(0, 5), scale_at(1, 4),
                                                scale_at(1, 5), scale_at(2, 4), scale_at(2, 5)}));
  EXPECT_TRUE(file.damaged_parameters().empty());
  const Json summary = file.summary();
  EXPECT_EQ(summary["format_version"], 2);
  const std::string type = GetParam().codes == WeightCodes::int8 ? "int8/32" : "int4/32";
  EXPECT_EQ(summary["bytes_by_dtype"][type],
            kRows * (code_bytes(GetParam().codes, kInputs) + 16 * kScaleBytes));
}

TEST_P(CodedFile, AChangedCodeOrScaleIsFound) {
  for (const bool scale : {false, true}) {
    const CheckpointFile file = CheckpointFile::open(path_);
    const StoredParameter& parameter = file.require({"group/down", {kRows, kInputs}});
    const std::uint64_t at = (scale ? parameter.scales_offset : parameter.offset) + 9;
    std::fstream bytes(path_, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(static_cast<std::streamoff>(at));
    const char before = static_cast<char>(bytes.get());
    const auto put = [&](char value) {
      bytes.seekp(static_cast<std::streamoff>(at));
      bytes.put(value);
      bytes.flush();
    };
    put(static_cast<char>(before ^ 1));
    EXPECT_EQ(file.damaged_parameters(), std::vector<std::string>{"group/down"});
    put(before);
    EXPECT_TRUE(file.damaged_parameters().empty());
  }
}

/// What a file with one matrix in codes says of it.
struct Claim {
  std::int64_t inputs = kInputs;
  std::int64_t group = 32;
  std::int64_t block = kBlock;
  std::uint64_t groups = 16;
  h5::Kind scales = h5::Kind::fp16;
};

TEST_P(CodedFile, ClaimsThatDoNotFitAreRefused) {
  const bool int8 = GetParam().codes == WeightCodes::int8;
  const auto refused = [&](const Claim& claim) {
    h5::File file = h5::File::create(path_);
    file.write_text_attribute("/", "format", "gridmill-checkpoint");
    file.write_integer_attribute("/", "format_version", 2);
    file.write_text_attribute("/", "model", "{}");
    for (const char* group : {"/files", "/parameters", "/scales"}) file.create_group(group);
    file.create_dataset("/parameters/down", h5::ElementType::of(int8 ? h5::Kind::i8 : h5::Kind::u8),
                        {kRows, static_cast<std::uint64_t>(int8 ? kInputs : kInputs / 2)});
    file.write_integer_attribute("/parameters/down", "inputs", claim.inputs);
    file.write_integer_attribute("/parameters/down", "group", claim.group);
    file.write_integer_attribute("/parameters/down", "block", claim.block);
    file.create_dataset("/scales/down", h5::ElementType::of(claim.scales), {kRows, claim.groups});
    file.close();
    // A file without hashes is refused in any case, but for another reason.
    return message_of_open().find("convert the model with gridmill convert") != std::string::npos;
  };
  EXPECT_FALSE(refused({})) << message_of_open();
  for (const std::int64_t inputs : {std::int64_t{0}, std::int64_t{-5}, std::int64_t{297},
                                    std::int64_t{303}, std::int64_t{1} << 62}) {
    EXPECT_TRUE(refused({.inputs = inputs})) << inputs;
  }
  for (const std::int64_t group : {0, -32, 48, 64, 1 << 30}) {
    EXPECT_TRUE(refused({.group = group})) << group;
  }
  for (const std::int64_t block : {0, -38, 40, 300}) {
    EXPECT_TRUE(refused({.block = block})) << block;
  }
  EXPECT_TRUE(refused({.groups = 15}));
  EXPECT_TRUE(refused({.scales = h5::Kind::fp32}));
}

INSTANTIATE_TEST_SUITE_P(Codes, CodedFile,
                         testing::Values(WeightFormat{WeightCodes::int8, 32},
                                         WeightFormat{WeightCodes::int4, 32}),
                         [](const auto& format) {
                           return format.param.codes == WeightCodes::int8 ? "int8" : "int4";
                         });

TEST(CodedWriter, RefusesFormatsThatNobodyReads) {
  const test::TemporaryFolder folder;
  const auto refused = [&](const WeightFormat& format, std::int64_t block) {
    try {
      const CheckpointWriter writer(folder.file("x.h5"), description(format, block));
      return false;
    } catch (const FormatError&) {
      return true;
    }
  };
  EXPECT_FALSE(refused({WeightCodes::int8, 64}, kInputs));
  EXPECT_TRUE(refused({WeightCodes::int8, 48}, kInputs));
  EXPECT_TRUE(refused({WeightCodes::int8, 64}, 40));
}

}  // namespace
}  // namespace gridmill
