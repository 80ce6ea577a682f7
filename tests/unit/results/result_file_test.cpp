#include "gridmill/results/result_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"
#include "unit/h5/python.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::create_sample;
using test::flip_bit;
using test::sample_identity;
using test::TemporaryFolder;

constexpr ResultShape kShape{.rows = 6, .samples_per_prompt = 2, .max_length = 10};

template <typename Kind, typename Function>
std::string message_of(Function&& function) {
  try {
    function();
  } catch (const Kind& error) {
    return error.what();
  }
  return "(nothing was thrown)";
}

TEST(ResultFile, ANewFileSaysWhatItIs) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, kShape);
  const ResultFile file = ResultFile::open(path);
  EXPECT_EQ(file.layout().shape, kShape);
  EXPECT_EQ(file.job(), sample_identity(2));
  EXPECT_EQ(file.creator_version(), "0.1.0");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()),
                          std::filesystem::directory_iterator()),
            1)
      << "no temporary file is left";
  for (RowId row = 0; row < 6; ++row) EXPECT_EQ(file.read_row(row).record, RowRecord{});
}

TEST(ResultFile, OptionalDatasetsAreThereWhenAskedFor) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, {.rows = 3, .max_length = 5, .logprobs = 1, .valid = 1});
  const h5::File file = h5::File::open(path);
  EXPECT_EQ(file.dataset("/token_logprobs").shape(), (std::vector<std::uint64_t>{3, 5}));
  EXPECT_EQ(file.dataset("/valid").type(), h5::ElementType::of(h5::Kind::u8));
  EXPECT_EQ(ResultFile::open(path).layout().shape.valid, 1);
  create_sample(path, kShape);
  EXPECT_FALSE(h5::File::open(path).exists("/token_logprobs"));
}

TEST(ResultFile, EqualJobsGiveEqualBytesWhereverTheyAreMade) {
  const TemporaryFolder folder;
  create_sample(folder.file("a.h5"), kShape);
  create_sample(folder.file("another-name.h5"), kShape);
  EXPECT_EQ(read_text_file(folder.file("a.h5")), read_text_file(folder.file("another-name.h5")));
}

TEST(ResultFile, AnEmptyJobMakesAReadableFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, {.rows = 0, .max_length = 5});
  EXPECT_EQ(ResultFile::open(path).layout().shape.rows, 0U);
}

TEST(ResultFile, AHugeFileTakesRoomForItsRecordsOnly) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, {.rows = 10'000, .max_length = 100'000});
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_GT(status.st_size, 4'000'000'000);
  EXPECT_GE(status.st_blocks * 512, 320'000);
  EXPECT_LT(status.st_blocks * 512, 1'000'000);
}

TEST(ResultFile, ReadsInH5pyAsThePageSays) {
  GRIDMILL_NEEDS_H5PY();
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  const ResultShape shape{.rows = 4, .samples_per_prompt = 2, .max_length = 8, .logprobs = 1};
  create_sample(path, shape);
  {
    ResultStore store = ResultStore::open(path, ResultFile::open(path).layout());
    for (const RowId row : {0, 2, 3}) store.put(test::SampleRow(shape, row).result());
    store.close();
  }
  const test::PythonResult result = test::run_python(R"(
import h5py, json, sys
with h5py.File(sys.argv[1]) as f:
    rows, tokens = f["rows"][:], f["tokens"]
    assert f.attrs["format"] == "gridmill-results" and f.attrs["format_version"] == 1
    assert f.attrs["gridmill_version"] == "0.1.0"
    assert json.loads(f.attrs["job"])["seed"] == 7
    assert rows["status"].tolist() == [1, 0, 1, 2], rows["status"]
    assert rows["finish_reason"].tolist() == [3, 0, 3, 4]
    assert rows["prompt_index"].tolist() == [0, 0, 1, 1]
    assert rows["sample_index"].tolist() == [0, 0, 0, 1]
    n = rows["length"][2]
    assert tokens[2, :n].tolist() == [2001 + t for t in range(n)]
    assert not tokens[2, n:].any()
    assert f["token_logprobs"].shape == (4, 8) and f["token_logprobs"].dtype == "float32"
    assert f["failure"][3] == b"line 3 is no JSON" and f["failure"][0] == b""
    for name in f:
        assert f[name].chunks is None and f[name].id.get_offset() % 4096 == 0
print(sorted(f for f in ("rows", "tokens")))
)",
                                                     path);
  EXPECT_EQ(result.exit_code, 0) << result.output;
}

TEST(ResultFile, AnotherJobIsRefusedWithTheOptionsThatDiffer) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, kShape);
  const ResultFile file = ResultFile::open(path);
  EXPECT_NO_THROW(file.require_same_job(sample_identity(2), kShape));
  JobIdentity other = sample_identity(2);
  other.fields["seed"] = 8;
  other.fields["logprobs"] = true;
  const std::string message =
      message_of<OutputError>([&] { file.require_same_job(other, kShape); });
  EXPECT_NE(message.find(path + " belongs to another job"), std::string::npos) << message;
  EXPECT_NE(message.find("seed is 7 there and 8 here"), std::string::npos) << message;
  EXPECT_NE(message.find("logprobs is not set there and true here"), std::string::npos) << message;
  EXPECT_EQ(message.find("temperature"), std::string::npos) << message;
  ResultShape longer = kShape;
  longer.max_length = 11;
  EXPECT_THROW(file.require_same_job(sample_identity(2), longer), OutputError);
}

TEST(ResultFile, OtherFilesAreFormatErrors) {
  const TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(ResultFile::open(folder.file("none.h5"))), MissingInputError);
  EXPECT_THROW(static_cast<void>(ResultFile::open(folder.write("a.h5", "text"))), FormatError);
  h5::File other = h5::File::create(folder.file("b.h5"));
  other.write_text_attribute("/", "format", "gridmill-checkpoint");
  other.close();
  const std::string message =
      message_of<FormatError>([&] { static_cast<void>(ResultFile::open(folder.file("b.h5"))); });
  EXPECT_NE(message.find("no result file of gridmill"), std::string::npos) << message;
}

TEST(ResultFile, AnotherFormatVersionIsAFormatError) {
  const TemporaryFolder folder;
  h5::File other = h5::File::create(folder.file("b.h5"));
  other.write_text_attribute("/", "format", "gridmill-results");
  other.write_integer_attribute("/", "format_version", 3);
  other.close();
  EXPECT_NE(message_of<FormatError>([&] {
              static_cast<void>(ResultFile::open(folder.file("b.h5")));
            }).find("format_version 3"),
            std::string::npos);
}

TEST(ResultFile, AFileCutShortAnywhereIsAFormatError) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, kShape);
  const std::uintmax_t whole = std::filesystem::file_size(path);
  for (std::uintmax_t size = 0; size < whole; size += 509) {
    std::filesystem::resize_file(path, whole - 1 - size);
    EXPECT_THROW(static_cast<void>(ResultFile::open(path)), FormatError) << whole - 1 - size;
  }
}

TEST(ResultFile, FlippedBitsOfTheMetadataNeitherCrashNorDeceive) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, kShape);
  const ResultFile before = ResultFile::open(path);
  const std::uint64_t end = before.layout().rows_offset;
  const std::string bytes = read_text_file(path);
  int tried = 0;
  for (std::uint64_t byte = 0; byte < end; ++byte) {
    if (bytes[byte] == 0 && byte % 64 != 0) continue;
    const auto bit = static_cast<unsigned>(byte * 3 % 8);
    if (++tried % 8 != 1) continue;  // a child process each
    flip_bit(path, byte, bit);
    ::testing::internal::CaptureStderr();
    try {
      const ResultFile after = ResultFile::open(path);
      EXPECT_EQ(after.layout(), before.layout()) << byte;
      EXPECT_NE(::testing::internal::GetCapturedStderr().find("are not as gridmill wrote them"),
                std::string::npos)
          << byte;
    } catch (const FormatError&) {
      ::testing::internal::GetCapturedStderr();
    }
    flip_bit(path, byte, bit);
  }
  EXPECT_GT(tried, 400);
  EXPECT_EQ(ResultFile::open(path).layout(), before.layout());
}

TEST(ResultFile, MetadataOnWhichHdf5CrashesAreAFormatError) {
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, kShape);
  const std::string bytes = read_text_file(path);
  // Sizes of the objects in the heap of attribute texts: HDF5 1.10 runs off its end.
  const std::size_t heap = bytes.find("GCOL");
  ASSERT_NE(heap, std::string::npos);
  flip_bit(path, heap + 16 + 8 + 7, 6);
  EXPECT_THROW(static_cast<void>(ResultFile::open(path)), FormatError);
}

TEST(ResultFile, AnAttributeAddedByAnotherProgramIsNoDamage) {
  GRIDMILL_NEEDS_H5PY();
  const TemporaryFolder folder;
  const std::string path = folder.file("out.h5");
  create_sample(path, kShape);
  const ResultLayout before = ResultFile::open(path).layout();
  const test::PythonResult result = test::run_python(
      "import h5py, sys\nwith h5py.File(sys.argv[1], \"r+\") as f: f.attrs[\"note\"] = \"mine\"",
      path);
  ASSERT_EQ(result.exit_code, 0) << result.output;
  EXPECT_EQ(ResultFile::open(path).layout(), before);
}

TEST(ResultFile, WhatCannotBeCreatedIsAnOutputError) {
  const TemporaryFolder folder;
  EXPECT_THROW(create_sample(folder.file("no/folder/out.h5"), kShape), OutputError);
  // 2^50 rows need 2^55 bytes of records: no file system of today has that room.
  EXPECT_THROW(
      create_sample(folder.file("out.h5"), {.rows = std::uint64_t{1} << 50, .max_length = 1}),
      OutputError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(ResultFile, AStaleTemporaryFileIsNoObstacle) {
  const TemporaryFolder folder;
  folder.write("out.h5.0123456789abcdef.tmp", "left by a kill");
  create_sample(folder.file("out.h5"), kShape);
  EXPECT_NO_THROW(static_cast<void>(ResultFile::open(folder.file("out.h5"))));
  EXPECT_FALSE(std::filesystem::exists(folder.file("out.h5.0123456789abcdef.tmp")));
}

TEST(ResultFile, IsMadeWhereALinkPoints) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "scratch");
  std::filesystem::create_symlink("scratch/out.h5", folder.file("out.h5"));
  create_sample(folder.file("out.h5"), kShape);
  EXPECT_TRUE(std::filesystem::is_symlink(folder.file("out.h5")));
  EXPECT_TRUE(std::filesystem::is_regular_file(folder.file("scratch/out.h5")));
}

TEST(JobIdentity, TextIsCanonical) {
  const JobIdentity a{Json{{"b", 1}, {"a", 0.5}}};
  const JobIdentity b{Json{{"a", 0.5}, {"b", 1}}};
  EXPECT_EQ(a.text(), b.text());
  EXPECT_EQ(JobIdentity::from_text(a.text(), "here"), b);
  EXPECT_THROW(static_cast<void>(JobIdentity::from_text("[1]", "here")), FormatError);
}

}  // namespace
}  // namespace gridmill
