#include <gtest/gtest.h>

#include <bit>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "convert/safetensors_detail.hpp"
#include "gridmill/base/clock.hpp"
#include "gridmill/base/format.hpp"
#include "unit/convert/support.hpp"

namespace gridmill {
namespace {

using convert_detail::add_safetensors_file;
using convert_detail::add_safetensors_folder;
using convert_detail::ForeignTensor;
using convert_detail::ForeignTensors;
using convert_detail::ModelFolder;
using convert_detail::parse_safetensors_header;
using test::contains_all;
using test::Outcome;
using test::outcome_of;
using test::SafetensorsWriter;
using test::TemporaryFolder;

std::vector<float> read_all(const ForeignTensor& tensor) {
  std::vector<float> values(
      static_cast<std::size_t>(convert_detail::element_count(tensor.shape())));
  tensor.read(0, values);
  return values;
}

ForeignTensors open(const std::string& path) {
  const std::filesystem::path file = path;
  ModelFolder folder(file.parent_path().string());
  ForeignTensors tensors;
  add_safetensors_file(folder, file.filename().string(), tensors);
  return tensors;
}

TEST(Safetensors, EveryFloatingTypeIsReadAsFp32) {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.add("a", {2}, {1.5F, -3.0F});
  writer.add_bf16("b", {2}, {1.5F, -3.0F});
  writer.add_raw("c", "F16", {2}, SafetensorsWriter::bytes_of<std::uint16_t>({0x3E00, 0xC200}));
  writer.add_raw("d", "F64", {2}, SafetensorsWriter::bytes_of<double>({1.5, -3.0}));
  const ForeignTensors tensors = open(folder.write("model.safetensors", writer.bytes()));
  const std::vector<float> expected = {1.5F, -3.0F};
  for (const char* name : {"a", "b", "c", "d"}) {
    EXPECT_EQ(read_all(*tensors.find(name)), expected) << name;
    EXPECT_EQ(tensors.find(name)->stored_as(),
              std::string(name) == "b" ? DType::bf16 : DType::fp32);
  }
}

TEST(Safetensors, APartOfATensorIsReadFromItsPlace) {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.add("before", {3}, {7, 7, 7}).add("a", {2, 3}, {0, 1, 2, 3, 4, 5});
  const ForeignTensors tensors = open(folder.write("model.safetensors", writer.bytes()));
  std::vector<float> part(3);
  tensors.find("a")->read(2, part);
  EXPECT_EQ(part, (std::vector<float>{2, 3, 4}));
}

TEST(Safetensors, ScalarsAndEmptyTensorsAreLegal) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
      R"("empty":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]}})";
  const auto entries = parse_safetensors_header(header, 4, "f");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[1].name, "scalar");
  EXPECT_TRUE(entries[1].shape.empty());
}

TEST(Safetensors, SpacesBehindTheHeaderAndGapsInTheDataAreTolerated) {
  const std::string header = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[8,10]},)"
                             R"("b":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}      )";
  EXPECT_EQ(parse_safetensors_header(header, 16, "f").size(), 2U);
}

struct BadHeader {
  const char* what;
  std::string header;
  std::vector<std::string> message;
};
class BadSafetensorsHeader : public testing::TestWithParam<BadHeader> {};

TEST_P(BadSafetensorsHeader, IsAFormatErrorThatNamesFileAndTensor) {
  const Outcome outcome =
      outcome_of([] { return parse_safetensors_header(GetParam().header, 16, "w.safetensors"); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input) << GetParam().what;
  EXPECT_TRUE(contains_all(outcome.message, {"w.safetensors"})) << outcome.message;
  EXPECT_TRUE(contains_all(outcome.message, GetParam().message)) << outcome.message;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadSafetensorsHeader,
    testing::Values(
        BadHeader{"no JSON", "{\"a\":", {"JSON"}}, BadHeader{"no object", "[1]", {"object"}},
        BadHeader{"offsets behind the file",
                  R"({"t.w":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}})",
                  {"t.w", "[0, 20]", "16"}},
        BadHeader{"offsets backwards",
                  R"({"t.w":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}})",
                  {"t.w", "[8, 4]"}},
        BadHeader{"offsets too large for 64 bits",
                  R"({"t.w":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]}})",
                  {"t.w", "data_offsets[1]"}},
        BadHeader{"size and shape disagree",
                  R"({"t.w":{"dtype":"F32","shape":[3],"data_offsets":[0,16]}})",
                  {"t.w", "16 bytes", "3 x 4"}},
        BadHeader{
            "extents whose product overflows to the size",
            R"({"t.w":{"dtype":"F32","shape":[4294967296,4294967296,1],"data_offsets":[0,0]}})",
            {"t.w", "[4294967296, 4294967296, 1]"}},
        BadHeader{"negative extent",
                  R"({"t.w":{"dtype":"F32","shape":[-1,-4],"data_offsets":[0,16]}})",
                  {"t.w", "shape"}},
        BadHeader{"fractional extent",
                  R"({"t.w":{"dtype":"F32","shape":[4.0],"data_offsets":[0,16]}})",
                  {"t.w", "shape"}},
        BadHeader{"overlap",
                  R"({"t.w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                  R"("t.v":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
                  {"t.w", "t.v", "overlap"}},
        BadHeader{"a name twice",
                  R"({"t.w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                  R"("t.w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                  {"t.w", "twice"}},
        BadHeader{"unknown type",
                  R"({"t.w":{"dtype":"F4","shape":[4],"data_offsets":[0,4]}})",
                  {"t.w", "F4", "unsupported"}},
        BadHeader{"no type", R"({"t.w":{"shape":[4],"data_offsets":[0,4]}})", {"t.w", "dtype"}},
        BadHeader{"no shape", R"({"t.w":{"dtype":"F32","data_offsets":[0,4]}})", {"t.w", "shape"}},
        BadHeader{"no offsets", R"({"t.w":{"dtype":"F32","shape":[1]}})", {"t.w", "data_offsets"}},
        BadHeader{"three offsets",
                  R"({"t.w":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})",
                  {"t.w", "data_offsets"}},
        BadHeader{"metadata is a list", R"({"__metadata__":[]})", {"__metadata__"}},
        BadHeader{"tensor is a number", R"({"t.w":3})", {"t.w"}}));

TEST(Safetensors, AFileTooShortForItsHeaderIsRefused) {
  const TemporaryFolder folder;
  const std::string empty = folder.write("empty.safetensors", "abc");
  EXPECT_TRUE(contains_all(outcome_of([&] { open(empty); }).message, {empty, "3 bytes"}));

  std::string huge(16, '\0');
  huge[7] = 1;  // 2^56 bytes of header
  const std::string path = folder.write("huge.safetensors", huge);
  const Outcome outcome = outcome_of([&] { open(path); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {path, "72057594037927936", "100000000"}))
      << outcome.message;
}

TEST(Safetensors, AFileCutShortIsRefusedBeforeAnyTensorIsRead) {
  const TemporaryFolder folder;
  SafetensorsWriter writer;
  writer.add("a", {4}, {1, 2, 3, 4});
  std::string bytes = writer.bytes();
  bytes.pop_back();
  const std::string path = folder.write("model.safetensors", bytes);
  const Outcome outcome = outcome_of([&] { open(path); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {path, "tensor a", "cut short"})) << outcome.message;
}

class ShardedFolder : public testing::Test {
 protected:
  void SetUp() override {
    SafetensorsWriter first;
    first.add("a", {1}, {1});
    SafetensorsWriter second;
    second.add("b", {1}, {2});
    folder_.write("one.safetensors", first.bytes());
    folder_.write("two.safetensors", second.bytes());
  }
  void add_from_folder(ForeignTensors& tensors) {
    ModelFolder folder(folder_.path().string());
    add_safetensors_folder(folder, tensors);
  }
  Outcome open_with(const std::string& index) {
    folder_.write("model.safetensors.index.json", index);
    ForeignTensors tensors;
    return outcome_of([&] { add_from_folder(tensors); });
  }
  TemporaryFolder folder_;
};

TEST_F(ShardedFolder, TensorsComeFromTheFilesThatTheIndexNames) {
  folder_.write("model.safetensors.index.json",
                R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  ForeignTensors tensors;
  add_from_folder(tensors);
  EXPECT_EQ(read_all(*tensors.find("b")), std::vector<float>{2});
}

TEST_F(ShardedFolder, AMissingShardIsAMissingInput) {
  const Outcome outcome =
      open_with(R"({"weight_map":{"a":"one.safetensors","b":"three.safetensors"}})");
  EXPECT_EQ(outcome.code, ExitCode::missing_input);
  EXPECT_TRUE(contains_all(outcome.message, {"three.safetensors", "index.json"}))
      << outcome.message;
}

TEST_F(ShardedFolder, ATensorThatIsNotInItsShardIsNamed) {
  const Outcome outcome =
      open_with(R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors"}})");
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"one.safetensors", "tensor b", "missing"}))
      << outcome.message;
}

TEST_F(ShardedFolder, AnIndexThatLeavesTheFolderIsRefused) {
  const Outcome outcome = open_with(R"({"weight_map":{"a":"../one.safetensors"}})");
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"../one.safetensors"})) << outcome.message;
}

TEST_F(ShardedFolder, AnIndexWithoutWeightMapIsRefused) {
  EXPECT_EQ(open_with("{}").code, ExitCode::bad_input);
  EXPECT_EQ(open_with(R"({"weight_map":{"a":1}})").code, ExitCode::bad_input);
}

TEST_F(ShardedFolder, ATensorInTwoShardsIsRefused) {
  SafetensorsWriter twice;
  twice.add("a", {1}, {1}).add("b", {1}, {2});
  folder_.write("two.safetensors", twice.bytes());
  const Outcome outcome =
      open_with(R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"tensor a", "second time"})) << outcome.message;
}

TEST_F(ShardedFolder, AFolderWithoutWeightsSaysWhatIsExpected) {
  ForeignTensors tensors;
  const Outcome outcome = outcome_of([&] { add_from_folder(tensors); });
  EXPECT_EQ(outcome.code, ExitCode::bad_input);
  EXPECT_TRUE(contains_all(outcome.message, {"model.safetensors", "unsupported"}))
      << outcome.message;
}

TEST_F(ShardedFolder, AFileWithoutIndexComesFirst) {
  SafetensorsWriter whole;
  whole.add("c", {1}, {3});
  folder_.write("model.safetensors", whole.bytes());
  folder_.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors"}})");
  ForeignTensors tensors;
  testing::internal::CaptureStderr();
  add_from_folder(tensors);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(tensors.contains("c") && !tensors.contains("a"));
  EXPECT_TRUE(contains_all(log, {"model.safetensors.index.json", "count"})) << log;
}

// 40,000 tensors took 15 s when the time was quadratic.
TEST(Safetensors, AHeaderTakesLinearTime) {
  std::string header = "{";
  for (int i = 0; i < 100'000; ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})",
                          i == 0 ? "" : ",", i, i, i + 1);
  }
  const SteadyClock::time_point start = SteadyClock::now();
  EXPECT_EQ(parse_safetensors_header(header + "}", 100'000, "f").size(), 100'000U);
  EXPECT_LT(seconds_since(start), 10.0);
}

}  // namespace
}  // namespace gridmill
