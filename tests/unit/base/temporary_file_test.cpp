#include "gridmill/base/temporary_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "gridmill/base/error.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

void put(const TemporaryFile& file, std::string_view text) {
  write_exactly(file.descriptor(), 0, std::as_bytes(std::span(text)), file.path());
}

std::size_t entries(const test::TemporaryFolder& folder) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()));
}

TEST(TemporaryFile, LiesBesideItsTargetUnderAnotherNameEachTime) {
  const test::TemporaryFolder folder;
  const TemporaryFile one(folder.file("data"));
  const TemporaryFile two(folder.file("data"));
  EXPECT_NE(one.path(), two.path());
  EXPECT_EQ(fs::path(one.path()).parent_path(), folder.path());
  EXPECT_FALSE(fs::exists(folder.file("data")));
}

TEST(TemporaryFile, TakesItsNameWhenItIsPublished) {
  const test::TemporaryFolder folder;
  folder.write("data", "old");
  {
    TemporaryFile file(folder.file("data"));
    put(file, "new");
    EXPECT_EQ(read_text_file(folder.file("data")), "old");
    file.publish();
  }
  EXPECT_EQ(read_text_file(folder.file("data")), "new");
  EXPECT_EQ(entries(folder), 1U);
}

TEST(TemporaryFile, IsGoneIfItIsNotPublished) {
  const test::TemporaryFolder folder;
  { put(TemporaryFile(folder.file("data")), "new"); }
  EXPECT_EQ(entries(folder), 0U);
}

TEST(TemporaryFile, ItsModeFollowsTheUmask) {
  const test::TemporaryFolder folder;
  const mode_t before = ::umask(027);
  const TemporaryFile file(folder.file("data"));
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(file.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
}

TEST(TemporaryFile, WhatAKilledProcessLeftIsRemovedByTheNext) {
  const test::TemporaryFolder folder;
  const std::string target = folder.file("data");
  for (int kills = 0; kills < 3; ++kills) {
    const pid_t child = ::fork();
    if (child == 0) {
      const TemporaryFile file(target);
      ::_exit(0);  // as a kill: no destructor
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(entries(folder), 1U) << "no pile";
  }
  folder.write("data.0123456789abcdef.tmp.keep", "another name");
  folder.write("data.0123456789abcdeX.tmp", "no random number");
  { const TemporaryFile file(target); }
  EXPECT_EQ(entries(folder), 2U);
}

TEST(TemporaryFile, ALivingOwnersFileStays) {
  const test::TemporaryFolder folder;
  const TemporaryFile mine(folder.file("data"));
  { const TemporaryFile other(folder.file("data")); }
  EXPECT_TRUE(fs::exists(mine.path()));
}

TEST(TemporaryFile, ALinkThatWasPutThereIsNotRemovedNorFollowed) {
  const test::TemporaryFolder folder;
  folder.write("precious", "mine");
  fs::create_symlink("precious", folder.file("data.0123456789abcdef.tmp"));
  fs::create_symlink("precious", folder.file("data.tmp"));
  { put(TemporaryFile(folder.file("data")), "new"); }
  EXPECT_EQ(read_text_file(folder.file("precious")), "mine");
}

TEST(TemporaryFile, LongNamesAreCut) {
  const test::TemporaryFolder folder;
  const std::string target = folder.file(std::string(255, 'n'));
  TemporaryFile file(target);
  file.publish();
  EXPECT_TRUE(fs::exists(target));
}

TEST(FollowLinks, EndsWhereWritingEnds) {
  const test::TemporaryFolder folder;
  fs::create_directories(folder.path() / "there");
  fs::create_symlink("there/new.h5", folder.file("relative"));
  fs::create_symlink(folder.file("relative"), folder.file("absolute"));
  EXPECT_EQ(fs::path(follow_links(folder.file("absolute"))).lexically_normal(),
            folder.path() / "there" / "new.h5");
  EXPECT_EQ(follow_links("plain.h5"), "plain.h5");
  EXPECT_EQ(follow_links(folder.file("none")), folder.file("none"));
  fs::create_symlink("b", folder.file("a"));
  fs::create_symlink("a", folder.file("b"));
  EXPECT_THROW(static_cast<void>(follow_links(folder.file("a"))), OutputError);
  EXPECT_EQ(follow_links("/dev/stdout"), "/proc/self/fd/1");
}

}  // namespace
}  // namespace gridmill
