#include "gridmill/h5/file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::h5 {
namespace {

using test::TemporaryFolder;

/// A file with a bit of everything, written in one go.
void write_sample(const std::string& path) {
  File file = File::create(path);
  file.write_text_attribute("/", "format", "sample");
  file.write_integer_attribute("/", "format_version", 3);
  file.create_group("/empty");
  {
    Dataset numbers = file.create_dataset("/group/numbers", ElementType::of(Kind::i32), {3});
    const std::vector<std::int32_t> values = {7, 8, 9};
    numbers.write_rows(0, 3, std::as_bytes(std::span(values)));
  }
  file.write_text("/meta/job", "{\"seed\": 1}");
  file.close();
}

template <typename Function>
std::string message_of(Function&& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(H5File, AttributesComeBack) {
  const TemporaryFolder folder;
  write_sample(folder.file("a.h5"));
  const File file = File::open(folder.file("a.h5"));
  EXPECT_EQ(file.read_text_attribute("/", "format"), "sample");
  EXPECT_EQ(file.read_integer_attribute("/", "format_version"), 3);
  EXPECT_EQ(file.attribute_names("/"), (std::vector<std::string>{"format", "format_version"}));
  EXPECT_FALSE(file.has_attribute("/", "job"));
  EXPECT_FALSE(file.has_attribute("/nowhere", "job"));
}

TEST(H5File, TextAttributesMayBeLongerThan64KiB) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const std::string text(300'000, 'x');
  File created = File::create(path);
  created.write_text_attribute("/", "job", text);
  created.write_text_attribute("/", "none", "");
  created.close();
  const File file = File::open(path);
  EXPECT_EQ(file.read_text_attribute("/", "job"), text);
  EXPECT_EQ(file.read_text_attribute("/", "none"), "");
}

TEST(H5File, TextDatasetsHoldAnyBytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const std::string bytes("\0\xFF\nx\0", 5);
  File created = File::create(path);
  created.write_text("/files/any", bytes);
  created.write_text("/files/none", "");
  created.close();
  const File file = File::open(path);
  EXPECT_EQ(file.read_text("/files/any"), bytes);
  EXPECT_EQ(file.read_text("/files/none"), "");
}

TEST(H5File, LinksAreListedParentsFirstAndSorted) {
  const TemporaryFolder folder;
  write_sample(folder.file("a.h5"));
  const File file = File::open(folder.file("a.h5"));
  std::vector<std::string> paths;
  for (const Link& link : file.links()) paths.push_back(link.path);
  EXPECT_EQ(paths,
            (std::vector<std::string>{"/empty", "/group", "/group/numbers", "/meta", "/meta/job"}));
  EXPECT_EQ(file.links()[1].kind, LinkKind::group);
  EXPECT_EQ(file.links()[2].kind, LinkKind::dataset);
  ASSERT_EQ(file.links("/group").size(), 1U);
  EXPECT_EQ(file.links("/group")[0].path, "/group/numbers");
}

TEST(H5File, ExistsLooksAtEveryStep) {
  const TemporaryFolder folder;
  write_sample(folder.file("a.h5"));
  const File file = File::open(folder.file("a.h5"));
  EXPECT_TRUE(file.exists("/"));
  EXPECT_TRUE(file.exists("/group/numbers"));
  EXPECT_FALSE(file.exists("/group/nothing"));
  EXPECT_FALSE(file.exists("/nothing/numbers"));
}

TEST(H5File, EqualContentGivesEqualBytesAtAnyTime) {
  const TemporaryFolder folder;
  write_sample(folder.file("a.h5"));
  ::sleep(1);  // object times have a resolution of one second
  write_sample(folder.file("b.h5"));
  EXPECT_EQ(read_text_file(folder.file("a.h5")), read_text_file(folder.file("b.h5")));
}

TEST(H5File, AMissingFileIsAMissingInput) {
  const TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(File::open(folder.file("none.h5"))), MissingInputError);
}

TEST(H5File, WhatIsNotHdf5IsAFormatErrorNamingTheFile) {
  const TemporaryFolder folder;
  for (const std::string content : {"", "not HDF5 at all", "\x89HDF\r\n\x1a\n"}) {
    const std::string path = folder.write("a.h5", content);
    EXPECT_THROW(static_cast<void>(File::open(path)), FormatError);
    EXPECT_NE(message_of([&] { static_cast<void>(File::open(path)); }).find(path),
              std::string::npos);
  }
}

TEST(H5File, AFileCutShortAnywhereIsAFormatError) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  write_sample(path);
  const auto whole = std::filesystem::file_size(path);
  for (const auto size : {whole - 1, whole / 2, whole / 4, std::uintmax_t{100}}) {
    std::filesystem::resize_file(path, size);
    EXPECT_THROW(static_cast<void>(File::open(path)), FormatError) << size;
  }
}

TEST(H5File, AMissingObjectIsNamedInTheMessage) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  write_sample(path);
  const File file = File::open(path);
  EXPECT_EQ(message_of([&] { static_cast<void>(file.dataset("/rows")); }),
            path + ":/rows is missing");
  EXPECT_EQ(message_of([&] { static_cast<void>(file.dataset("/group")); }),
            path + ":/group is not a dataset");
  EXPECT_EQ(message_of([&] { static_cast<void>(file.read_text_attribute("/", "job")); }),
            path + ":/, attribute 'job' is missing");
  EXPECT_EQ(message_of([&] { static_cast<void>(file.read_integer_attribute("/", "format")); }),
            path + ":/, attribute 'format' is not an integer");
}

TEST(H5File, AFileThatCannotBeCreatedIsAnOutputError) {
  const TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(File::create(folder.file("no/such/folder/a.h5"))), OutputError);
}

TEST(H5File, ALockOfAnotherProgramIsNoObstacle) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  write_sample(path);
  const FileDescriptor holder(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(holder.get(), LOCK_EX | LOCK_NB), 0);  // what h5py does in mode "r+"
  EXPECT_EQ(File::open(path).read_text("/meta/job"), "{\"seed\": 1}");
}

TEST(H5File, ClosingWithObjectsStillOpenIsOurOwnMistake) {
  const TemporaryFolder folder;
  File file = File::create(folder.file("a.h5"));
  Dataset dataset = file.create_dataset("/x", ElementType::of(Kind::u8), {1});
  EXPECT_THROW(file.close(), InternalError);
}

}  // namespace
}  // namespace gridmill::h5
