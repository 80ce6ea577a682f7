#include "gridmill/results/run_lock.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <string>

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

TEST(NetworkFileSystem, ALocalFolderIsNone) {
  const TemporaryFolder folder;
  EXPECT_FALSE(on_network_file_system("/dev/shm"));
  EXPECT_THROW(static_cast<void>(on_network_file_system(folder.file("none"))), IoError);
}

}  // namespace
}  // namespace gridmill
