#include "gridmill/checkpoint/checkpoint_file.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/checkpoint/checkpoint_writer.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

std::vector<float> ramp(std::size_t count, float first) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

std::vector<Bf16> bf16_ramp(std::size_t count) {
  std::vector<Bf16> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = fp32_to_bf16(static_cast<float>(i));
  return values;
}

CheckpointDescription description() {
  CheckpointDescription description;
  description.model = {{"family", "llama"}, {"width", 7}};
  description.parameters = {{{"wide", {5, 2000}}, DType::fp32},
                            {{"layers.0.narrow", {6, 7}}, DType::bf16},
                            {{"group/norm", {9}}, DType::fp32},
                            {{"blocks", {2, 3, 4}}, DType::fp32}};
  description.files = {{"config.json", "{\"a\": 1}\n"},
                       {"chat_template.jinja", std::string(70'000, 'x')}};
  description.tokenizer_kind = "tokenizer.json";
  description.tokenizer = std::string("{}\0binary\xFF", 10);
  return description;
}

/// Writes the checkpoint of description().
void write(const std::string& path, float shift = 0) {
  CheckpointWriter writer(path, description());
  const auto wide = ramp(10'000, shift);
  const auto narrow = bf16_ramp(42);
  const auto norm = ramp(9, -4);
  const auto blocks = ramp(24, 100);
  // In pieces and interleaved, as a converter does that permutes rows.
  writer.append("wide", std::as_bytes(std::span(wide).first(1)));
  writer.append("layers.0.narrow", std::as_bytes(std::span(narrow)));
  writer.append("wide", std::as_bytes(std::span(wide).subspan(1)));
  writer.append("blocks", std::as_bytes(std::span(blocks)));
  writer.append("group/norm", std::as_bytes(std::span(norm)));
  writer.finish();
}

class CheckpointFileTest : public testing::Test {
 protected:
  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("model.h5");

  [[nodiscard]] const StoredParameter& find(const CheckpointFile& file,
                                            const std::string& name) const {
    for (const StoredParameter& parameter : file.parameters()) {
      if (parameter.spec.name == name) return parameter;
    }
    throw std::runtime_error("no " + name);
  }
  template <typename T>
  std::vector<T> read(const CheckpointFile& file, const std::string& name, IndexRange rows,
                      IndexRange columns) const {
    std::vector<T> values(static_cast<std::size_t>(rows.count * columns.count));
    file.read(find(file, name), rows, columns, std::as_writable_bytes(std::span(values)));
    return values;
  }
  template <typename Kind>
  std::string message_of_open() const {
    try {
      static_cast<void>(CheckpointFile::open(path_));
    } catch (const Kind& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(CheckpointFileTest, GivesBackWhatWasWritten) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  EXPECT_EQ(file.path(), path_);
  EXPECT_EQ(file.model(), description().model);
  EXPECT_EQ(file.files(), description().files);
  EXPECT_EQ(file.tokenizer_kind(), "tokenizer.json");
  EXPECT_EQ(file.tokenizer(), description().tokenizer);
  EXPECT_EQ(file.parameter_bytes(), 10'000U * 4 + 42 * 2 + 9 * 4 + 24 * 4);
  ASSERT_EQ(file.parameters().size(), 4U);
  EXPECT_EQ(file.parameters()[0].spec.name, "wide");
  EXPECT_EQ(file.parameters()[2].spec.name, "group/norm");
  EXPECT_EQ(find(file, "layers.0.narrow").dtype, DType::bf16);
  EXPECT_EQ(find(file, "blocks").spec.shape, (std::vector<std::int64_t>{2, 3, 4}));
  EXPECT_EQ(read<float>(file, "wide", {0, 5}, {0, 2000}), ramp(10'000, 0));
  EXPECT_EQ(read<Bf16>(file, "layers.0.narrow", {0, 6}, {0, 7}), bf16_ramp(42));
}

TEST_F(CheckpointFileTest, ReadsRowsOfAMatrixAndElementsOfAVector) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  EXPECT_EQ(read<float>(file, "wide", {3, 1}, {0, 2000}), ramp(2000, 6000));
  EXPECT_EQ(read<float>(file, "group/norm", {2, 3}, {0, 1}), ramp(3, -2));
  EXPECT_EQ(read<float>(file, "wide", {3, 0}, {0, 2000}), std::vector<float>{});
}

TEST_F(CheckpointFileTest, ReadsColumnSlabsWithNarrowAndWithWideGaps) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  // A gap of 1000 floats is read over, one of 1998 floats is not.
  EXPECT_EQ(read<float>(file, "wide", {4, 1}, {1000, 1000}), ramp(1000, 9000));
  EXPECT_EQ(read<float>(file, "wide", {1, 2}, {10, 2}),
            (std::vector<float>{2010, 2011, 4010, 4011}));
  const auto slab = read<float>(file, "wide", {1, 4}, {500, 1000});
  for (std::size_t row = 0; row < 4; ++row) {
    EXPECT_EQ(slab[row * 1000], 2000.0F * static_cast<float>(row + 1) + 500);
    EXPECT_EQ(slab[row * 1000 + 999], 2000.0F * static_cast<float>(row + 1) + 1499);
  }
  EXPECT_EQ(
      read<Bf16>(file, "layers.0.narrow", {4, 2}, {5, 2}),
      (std::vector<Bf16>{fp32_to_bf16(33), fp32_to_bf16(34), fp32_to_bf16(40), fp32_to_bf16(41)}));
}

TEST_F(CheckpointFileTest, TakesAParameterOfThreeAxesAsRowsOfItsLast) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  EXPECT_EQ(read<float>(file, "blocks", {2, 2}, {1, 2}), (std::vector<float>{109, 110, 113, 114}));
  std::vector<float> elements(5);
  file.read_elements(find(file, "blocks"), {10, 5}, std::as_writable_bytes(std::span(elements)));
  EXPECT_EQ(elements, ramp(5, 110));
}

TEST_F(CheckpointFileTest, CountsTheBytesItDelivers) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  EXPECT_EQ(file.bytes_read(), 0U);
  read<float>(file, "wide", {1, 2}, {10, 2});
  EXPECT_EQ(file.bytes_read(), 16U);
  EXPECT_TRUE(file.damaged_parameters().empty());
  EXPECT_EQ(file.bytes_read(), 16U);
}

TEST_F(CheckpointFileTest, DataOfEveryParameterIsAligned) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  ASSERT_EQ(file.parameters().size(), 4U);
  for (const StoredParameter& parameter : file.parameters()) {
    EXPECT_EQ(parameter.offset % 4096, 0U) << parameter.spec.name;
  }
}

TEST_F(CheckpointFileTest, EqualInputMakesEqualBytes) {
  write(path_);
  const std::string other = folder_.file("other.h5");
  write(other);
  EXPECT_EQ(read_text_file(path_), read_text_file(other));
}

TEST_F(CheckpointFileTest, HashesTellConfigurationsAndContentsApart) {
  write(path_);
  const std::string other = folder_.file("other.h5");
  write(other, 1);
  const CheckpointFile a = CheckpointFile::open(path_);
  const CheckpointFile b = CheckpointFile::open(other);
  EXPECT_NE(a.hash(), b.hash());
  EXPECT_NE(find(a, "wide").hash, find(b, "wide").hash);
  EXPECT_EQ(find(a, "blocks").hash, find(b, "blocks").hash);
  EXPECT_EQ(a.tokenizer_hash(), b.tokenizer_hash());

  const auto with_model = [&](const Json& model) {
    CheckpointDescription changed;
    changed.model = model;
    const std::string path = folder_.file("changed.h5");
    CheckpointWriter(path, changed).finish();
    return CheckpointFile::open(path).hash();
  };
  EXPECT_NE(with_model({{"eps", 1e-5}}), with_model({{"eps", 1e-6}}));
  EXPECT_EQ(with_model({{"a", 1}, {"b", 2}}), with_model({{"b", 2}, {"a", 1}}));
}

TEST_F(CheckpointFileTest, NamesTheDamagedParameter) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  std::fstream raw(path_, std::ios::in | std::ios::out | std::ios::binary);
  raw.seekp(static_cast<std::streamoff>(find(file, "group/norm").offset + 5));
  raw.put('\x7F');
  raw.close();
  EXPECT_EQ(file.damaged_parameters(), std::vector<std::string>{"group/norm"});
}

TEST_F(CheckpointFileTest, SummaryDescribesTheFile) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  const Json summary = file.summary();
  EXPECT_EQ(summary["format"], "gridmill-checkpoint");
  EXPECT_EQ(summary["parameter_count"], 4);
  EXPECT_EQ(summary["parameter_elements"], 10'000 + 42 + 9 + 24);
  EXPECT_EQ(summary["bytes_by_dtype"]["bf16"], 84);
  EXPECT_EQ(summary["tokenizer"]["bytes"], 10);
  EXPECT_EQ(summary["files"]["chat_template.jinja"], 70'000);
  EXPECT_EQ(summary["hash"], file.hash());
}

TEST_F(CheckpointFileTest, AShortenedFileIsRefused) {
  write(path_);
  const CheckpointFile whole = CheckpointFile::open(path_);
  const StoredParameter& last = whole.parameters().back();
  std::filesystem::resize_file(path_, last.offset + 10);
  EXPECT_NE(message_of_open<FormatError>().find("cut short"), std::string::npos)
      << message_of_open<FormatError>();
}

TEST_F(CheckpointFileTest, RefusesWhatIsNoCheckpointAndSaysWhatToDo) {
  EXPECT_NE(message_of_open<MissingInputError>(), "");
  folder_.write("model.h5", "not HDF5");
  EXPECT_NE(message_of_open<FormatError>(), "");
  h5::File other = h5::File::create(path_);
  other.close();
  EXPECT_NE(message_of_open<FormatError>().find("gridmill convert"), std::string::npos);
  other = h5::File::create(path_);
  other.write_text_attribute("/", "format", "gridmill-results");
  other.close();
  EXPECT_NE(message_of_open<FormatError>().find("gridmill-results"), std::string::npos);
}

TEST_F(CheckpointFileTest, RequireNamesAMissingOrMisshapenParameter) {
  write(path_);
  const CheckpointFile file = CheckpointFile::open(path_);
  EXPECT_EQ(file.require({"group/norm", {9}}).spec.name, "group/norm");
  const auto message = [&](const ParameterSpec& spec) -> std::string {
    try {
      static_cast<void>(file.require(spec));
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message({"absent", {2}}).find("no parameter absent [2]"), std::string::npos);
  EXPECT_NE(message({"wide", {5, 3}}).find("wide is [5, 2000], expected [5, 3]"),
            std::string::npos);
}

TEST_F(CheckpointFileTest, AnUnfinishedWriterLeavesNothing) {
  {
    CheckpointWriter writer(path_, description());
    EXPECT_FALSE(std::filesystem::exists(path_));
    EXPECT_THROW(writer.finish(), FormatError);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(CheckpointFileTest, TheWriterRefusesUnknownNamesAndTooManyBytes) {
  CheckpointWriter writer(path_, description());
  const auto norm = ramp(10, 0);
  EXPECT_THROW(writer.append("absent", {}), FormatError);
  EXPECT_THROW(writer.append("group/norm", std::as_bytes(std::span(norm))), FormatError);
  writer.append("group/norm", std::as_bytes(std::span(norm).first(9)));
  EXPECT_THROW(writer.append("group/norm", std::as_bytes(std::span(norm).first(1))), FormatError);
}

TEST_F(CheckpointFileTest, TheWriterRefusesImpossibleDescriptions) {
  const auto refused = [&](const CheckpointDescription::Parameter& parameter) {
    CheckpointDescription bad;
    bad.parameters = {parameter};
    EXPECT_THROW(CheckpointWriter(path_, bad), FormatError) << parameter.spec.name;
  };
  refused({{"half", {2}}, DType::fp16});
  refused({{"none", {0}}, DType::fp32});
  refused({{"", {1}}, DType::fp32});
  refused({{"a//b", {1}}, DType::fp32});
  refused({{"a/./b", {1}}, DType::fp32});
  CheckpointDescription twice = description();
  twice.parameters.push_back(twice.parameters[0]);
  EXPECT_THROW(CheckpointWriter(path_, twice), FormatError);
  EXPECT_THROW(CheckpointWriter(folder_.file("absent/model.h5"), description()), OutputError);
}

}  // namespace
}  // namespace gridmill
