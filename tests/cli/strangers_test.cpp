// Another user of the host, who may write the folder of the output.

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): kill is POSIX
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;

constexpr uid_t kStranger = 65534;

/// This process is another user's from now on, without a group of the first one.
bool become_stranger() {
  return ::setgroups(0, nullptr) == 0 && ::setgid(kStranger) == 0 && ::setuid(kStranger) == 0;
}

/// Runs `act` as another user. @return its exit code.
int as_stranger(const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!become_stranger()) ::_exit(100);
    ::_exit(act());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

/// A folder that everybody may write, and the user's precious file beside it.
class Strangers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root, which makes a second user";
    fs::permissions(place_.path(), fs::perms::others_exec | fs::perms::others_read,
                    fs::perm_options::add);
    fs::create_directories(shared(""));
    fs::permissions(shared(""), fs::perms::all);
    place_.write("precious", "mine\n");
  }
  /// Path of `name` in the folder that everybody may write.
  [[nodiscard]] std::string shared(const std::string& name) const {
    return place_.file("shared/" + name);
  }
  /// A link of the stranger to the precious file.
  void plant(const std::string& name) const {
    const std::string target = place_.file("precious");
    const std::string link = shared(name);
    ASSERT_EQ(as_stranger([&] { return ::symlink(target.c_str(), link.c_str()) == 0 ? 0 : 1; }), 0);
  }
  [[nodiscard]] ProgramResult generate() const {
    return cli().generate_again({"--output", shared("out.h5")});
  }
  void expect_nothing_was_written_through(const std::string& where) const {
    EXPECT_EQ(slurp(place_.file("precious")), "mine\n") << where;
  }

 private:
  test::TemporaryFolder place_{test::temporary_place_of_all_users()};
};

TEST_F(Strangers, LinksInPlaceOfTheLockAndTheRunLogAreRefused) {
  for (const std::string name : {"out.h5.lock", "out.h5.runs.jsonl"}) {
    plant(name);
    EXPECT_TRUE(fails_with(generate(), 73, {name, "symbolic link"}));
    expect_nothing_was_written_through(name);
    fs::remove(shared(name));
  }
  EXPECT_EQ(generate().exit_code, 0);
}

TEST_F(Strangers, LinksUnderTheNamesOfTemporaryFilesAreInNobodysWay) {
  for (const std::string name :
       {"out.h5.tmp", "out.h5.runs.jsonl.tmp", "score.h5.tmp", "model.h5.tmp", "rows.jsonl.tmp"}) {
    plant(name);
  }
  EXPECT_EQ(generate().exit_code, 0);
  EXPECT_EQ(cli()
                .run({"score", "--model", "stories.h5", "--prompts", "prompts.txt", "--output",
                      shared("score.h5")})
                .exit_code,
            0);
  EXPECT_EQ(cli()
                .run({"convert", std::string(GRIDMILL_MODELS_DIR) + "/tiny-xlstm-shakespeare",
                      shared("model.h5")})
                .exit_code,
            0);
  EXPECT_EQ(cli().run({"export", shared("out.h5"), "-o", shared("rows.jsonl")}).exit_code, 0);
  expect_nothing_was_written_through("temporary files");
}

TEST_F(Strangers, TheirOwnFilesAreNotTakenForOurs) {
  for (const std::string name : {"out.h5.lock", "out.h5.runs.jsonl"}) {
    const std::string path = shared(name);
    ASSERT_EQ(as_stranger([&] { return ::open(path.c_str(), O_CREAT | O_RDWR, 0666) < 0; }), 0);
    fs::remove(shared("out.h5"));
    EXPECT_TRUE(fails_with(generate(), 73, {name, "another user"}));
    fs::remove(path);
  }
}

TEST_F(Strangers, ALockOfAReaderDoesNotKeepTheOwnerOut) {
  ASSERT_EQ(generate().exit_code, 0);
  const std::string lock = shared("out.h5.lock");
  fs::permissions(lock, fs::perms::others_read,
                  fs::perm_options::add);  // as an older version made it
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t reader = ::fork();
  if (reader == 0) {
    if (!become_stranger()) ::_exit(100);
    const int file = ::open(lock.c_str(), O_RDONLY);
    struct flock shared {};
    shared.l_type = F_RDLCK;
    shared.l_whence = SEEK_SET;
    const bool locked = file >= 0 && ::fcntl(file, F_SETLK, &shared) == 0;
    if (::write(ready[1], locked ? "y" : "n", 1) != 1) ::_exit(1);
    ::pause();
    ::_exit(0);
  }
  char answer = '?';
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y') << "the reader has its lock";
  const ProgramResult result = generate();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  struct stat status {};
  ASSERT_EQ(::stat(lock.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0004U, 0U) << "and nobody else gets one";
  ::kill(reader, SIGKILL);
  ::waitpid(reader, nullptr, 0);
}

}  // namespace
}  // namespace gridmill
