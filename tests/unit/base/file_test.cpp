#include "gridmill/base/file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(FileDescriptor, ClosesAtTheEndOfItsLife) {
  const test::TemporaryFolder folder;
  int fd = -1;
  {
    const FileDescriptor file = open_for_reading(folder.write("data", "x"));
    fd = file.get();
    EXPECT_TRUE(file.valid());
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST(FileDescriptor, MovesItsFile) {
  const test::TemporaryFolder folder;
  FileDescriptor first = open_for_reading(folder.write("data", "x"));
  const int fd = first.get();
  const FileDescriptor second = std::move(first);
  EXPECT_EQ(second.get(), fd);
  EXPECT_FALSE(first.valid());  // NOLINT: being empty is the promise
}

TEST(FileDescriptor, ClosingTwiceIsHarmlessButAFailedCloseIsAnError) {
  const test::TemporaryFolder folder;
  FileDescriptor file = open_for_reading(folder.write("data", "x"));
  file.close();
  EXPECT_FALSE(file.valid());
  EXPECT_NO_THROW(file.close());
  FileDescriptor stale(1 << 20);  // far above any limit on open files
  EXPECT_THROW(stale.close(), IoError);
}

TEST(OpenForReading, AMissingFileOrAFolderIsAMissingInput) {
  const test::TemporaryFolder folder;
  EXPECT_THROW((void)open_for_reading(folder.file("absent")), MissingInputError);
  EXPECT_THROW((void)open_for_reading(folder.path().string()), MissingInputError);
}

TEST(ReadTextFile, GivesEveryByte) {
  const test::TemporaryFolder folder;
  const std::string content("line\n\0binary\xff", 13);
  EXPECT_EQ(read_text_file(folder.write("data", content)), content);
  EXPECT_EQ(read_text_file(folder.write("empty", "")), "");
}

TEST(ReadExactly, ReadsAtTheOffset) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("data", "0123456789");
  const FileDescriptor file = open_for_reading(path);
  EXPECT_EQ(file_size(file, path), 10U);
  std::array<char, 4> part{};
  read_exactly(file, 3, std::as_writable_bytes(std::span(part)), path);
  EXPECT_EQ(std::string(part.data(), part.size()), "3456");
}

TEST(ReadExactly, AFileCutShortIsAFormatErrorThatNamesIt) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("data", "0123456789");
  const FileDescriptor file = open_for_reading(path);
  std::array<char, 4> part{};
  try {
    read_exactly(file, 8, std::as_writable_bytes(std::span(part)), path);
    FAIL() << "nothing was thrown";
  } catch (const FormatError& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find(path + " is cut short: 2 more bytes expected at offset 10"),
              std::string::npos)
        << message;
  }
}

TEST(ReadExactly, AFailedReadIsAnIoError) {
  const FileDescriptor closed;
  std::array<std::byte, 1> part{};
  EXPECT_THROW(read_exactly(closed, 0, part, "no file"), IoError);
}

TEST(WriteExactly, WritesAtTheOffsetAndLeavesTheRest) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("data", "0123456789");
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  const std::string_view text = "abc";
  write_exactly(file, 4, std::as_bytes(std::span(text)), path);
  EXPECT_EQ(read_text_file(path), "0123abc789");
}

TEST(WriteExactly, AFullDeviceIsAnIoError) {
  const FileDescriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  const std::string_view text = "abc";
  EXPECT_THROW(write_exactly(full, 0, std::as_bytes(std::span(text)), "/dev/full"), IoError);
}

TEST(WriteFileAtomically, ReplacesTheContentAndLeavesNothingElse) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("data", "old content");
  write_file_atomically(path, "new");
  EXPECT_EQ(read_text_file(path), "new");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(WriteFileAtomically, AReaderOfTheOldFileKeepsItWhole) {
  const test::TemporaryFolder folder;
  const std::string path = folder.write("data", "old content");
  const FileDescriptor before = open_for_reading(path);
  write_file_atomically(path, "new");
  std::string old(11, '\0');
  read_exactly(before, 0, std::as_writable_bytes(std::span(old)), path);
  EXPECT_EQ(old, "old content");
}

TEST(WriteFileAtomically, AFileThatCannotBeCreatedIsAnOutputError) {
  const test::TemporaryFolder folder;
  EXPECT_THROW(write_file_atomically(folder.file("absent/data"), "x"), OutputError);
}

TEST(WriteFileAtomically, AFailureLeavesNoTemporaryFile) {
  const test::TemporaryFolder folder;
  fs::create_directories(folder.path() / "taken" / "by a folder");
  EXPECT_THROW(write_file_atomically(folder.file("taken"), "x"), IoError);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  EXPECT_TRUE(fs::is_directory(folder.file("taken")));
}

TEST(SyncParentFolder, WorksForBareNamesToo) {
  EXPECT_NO_THROW(sync_parent_folder("name-without-folder"));
  EXPECT_THROW(sync_parent_folder("/no such folder/name"), IoError);
}

}  // namespace
}  // namespace gridmill
