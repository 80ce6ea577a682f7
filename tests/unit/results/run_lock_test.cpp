#include "gridmill/results/run_lock.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

using test::TemporaryFolder;

TEST(RunLock, EveryRunRaisesTheEpoch) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  EXPECT_EQ(RunLock::acquire(output).epoch().number, 1U);
  EXPECT_EQ(RunLock::acquire(output).epoch().number, 2U);
  EXPECT_EQ(RunLock::acquire(output).epoch().number, 3U);
  EXPECT_FALSE(std::filesystem::exists(output));
}

TEST(RunLock, ASecondRunIsRefusedAndToldWhoHoldsTheFile) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  const RunLock lock = RunLock::acquire(output);
  try {
    static_cast<void>(RunLock::acquire(output));
    ADD_FAILURE() << "two runs hold the lock";
  } catch (const OutputError& error) {
    EXPECT_NE(std::string(error.what()).find("another run is writing " + output), std::string::npos)
        << error.what();
    EXPECT_NE(std::string(error.what()).find("process"), std::string::npos) << error.what();
  }
  EXPECT_NO_THROW(RunGuard(output, lock.epoch()).check());
}

TEST(RunLock, ALockFileOfUnknownContentStartsAnew) {
  const TemporaryFolder folder;
  folder.write("out.h5.lock", "something else");
  EXPECT_EQ(RunLock::acquire(folder.file("out.h5")).epoch().number, 1U);
}

TEST(RunLock, AFolderThatDoesNotExistIsAnOutputError) {
  const TemporaryFolder folder;
  EXPECT_THROW(static_cast<void>(RunLock::acquire(folder.file("none/out.h5"))), OutputError);
}

TEST(RunLock, GoesByTheFileNotByItsName) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "scratch");
  std::filesystem::create_symlink("scratch/out.h5", folder.file("link.h5"));
  const RunLock lock = RunLock::acquire(folder.file("link.h5"));
  EXPECT_THROW(static_cast<void>(RunLock::acquire(folder.file("scratch/out.h5"))), OutputError);
  EXPECT_THROW(static_cast<void>(RunLock::acquire(folder.file("scratch/../link.h5"))), OutputError);
  EXPECT_FALSE(std::filesystem::exists(folder.file("link.h5.lock")));
}

TEST(RunLock, AReadersLockDoesNotKeepTheOwnerOut) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  { static_cast<void>(RunLock::acquire(output)); }
  const FileDescriptor reader(::open(lock_path_of(output).c_str(), O_RDONLY | O_CLOEXEC));
  struct flock shared {};
  shared.l_type = F_RDLCK;
  shared.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(reader.get(), F_OFD_SETLK, &shared), 0);
  const RunLock lock = RunLock::acquire(output);
  EXPECT_EQ(lock.epoch().number, 2U) << "the epoch goes on";
  EXPECT_NO_THROW(RunGuard(output, lock.epoch()).check());
  EXPECT_THROW(static_cast<void>(RunLock::acquire(output)), OutputError);
}

TEST(RunLock, WhoCannotWriteTheLockFileCannotReadIt) {
  const TemporaryFolder folder;
  for (const auto& [mask, mode] : {std::pair{022U, 0600U}, {002U, 0660U}, {077U, 0600U}}) {
    const std::string output = folder.file(std::to_string(mode + mask) + ".h5");
    const mode_t before = ::umask(mask);
    static_cast<void>(RunLock::acquire(output));
    ::umask(before);
    struct stat status {};
    ASSERT_EQ(::stat(lock_path_of(output).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, mode) << "umask " << mask;
  }
}

TEST(RunLock, WhatGridmillDidNotMakeIsNotWritten) {
  const TemporaryFolder folder;
  folder.write("precious", "mine");
  const std::string output = folder.file("out.h5");
  const auto refused = [&output] {
    EXPECT_THROW(static_cast<void>(RunLock::acquire(output)), OutputError);
    std::filesystem::remove(output + ".lock");
  };
  std::filesystem::create_symlink("precious", output + ".lock");
  refused();
  std::filesystem::create_symlink("none", output + ".lock");
  refused();
  std::filesystem::create_hard_link(folder.file("precious"), output + ".lock");
  refused();
  ASSERT_EQ(::mkfifo((output + ".lock").c_str(), 0600), 0);
  refused();
  std::filesystem::create_directories(output + ".lock");
  refused();
  EXPECT_EQ(read_text_file(folder.file("precious")), "mine");
  EXPECT_FALSE(std::filesystem::exists(folder.file("none")));
}

TEST(RunGuard, StopsARunWhoseFileWasTakenOver) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  std::optional<RunLock> lost = RunLock::acquire(output);
  const RunGuard guard(output, lost->epoch());
  EXPECT_NO_THROW(guard.check());
  lost.reset();  // its node was given up; the rank there runs on
  const RunLock next = RunLock::acquire(output);
  EXPECT_THROW(guard.check(), OutputError);
  EXPECT_NO_THROW(RunGuard(output, next.epoch()).check());
}

TEST(RunGuard, ALockFileThatWasRemovedProtectsNobody) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  const RunLock lock = RunLock::acquire(output);
  const RunGuard guard(output, lock.epoch());
  std::filesystem::remove(lock_path_of(output));
  EXPECT_THROW(guard.check(), OutputError);
  const RunLock second = RunLock::acquire(output);  // number 1 again, told apart by the nonce
  EXPECT_EQ(second.epoch().number, lock.epoch().number);
  EXPECT_THROW(guard.check(), OutputError);
}

TEST(RequireNoWriter, RefusesWhileARunHoldsTheLockAndWritesNothing) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  EXPECT_NO_THROW(require_no_writer(output));
  EXPECT_FALSE(std::filesystem::exists(lock_path_of(output)));
  {
    const RunLock lock = RunLock::acquire(output);
    try {
      require_no_writer(output);
      ADD_FAILURE() << "a file that a run writes was let through";
    } catch (const OutputError& error) {
      const std::string text = error.what();
      EXPECT_NE(text.find("a run is writing " + output), std::string::npos) << text;
      EXPECT_NE(text.find("process"), std::string::npos) << text;
    }
  }
  const std::string before = read_text_file(lock_path_of(output));
  EXPECT_NO_THROW(require_no_writer(output));
  EXPECT_EQ(read_text_file(lock_path_of(output)), before);
}

TEST(RequireNoWriter, AReadersLockIsNoRun) {
  const TemporaryFolder folder;
  const std::string output = folder.file("out.h5");
  folder.write("out.h5.lock", "");
  const FileDescriptor reader = open_for_reading(lock_path_of(output));
  struct flock shared {};
  shared.l_type = F_RDLCK;
  shared.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(reader.get(), F_OFD_SETLK, &shared), 0);
  EXPECT_NO_THROW(require_no_writer(output));
}

TEST(RequireNoWriter, ALinkUnderTheLocksNameIsNotFollowed) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("elsewhere", folder.file("out.h5.lock"));
  EXPECT_THROW(require_no_writer(folder.file("out.h5")), IoError);
}

TEST(NetworkFileSystem, ALocalFolderIsNone) {
  const TemporaryFolder folder;
  EXPECT_FALSE(on_network_file_system("/dev/shm"));
  EXPECT_THROW(static_cast<void>(on_network_file_system(folder.file("none"))), IoError);
}

}  // namespace
}  // namespace gridmill
