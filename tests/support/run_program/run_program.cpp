#include "support/run_program/run_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace gridmill::test {

namespace {

std::vector<char*> pointers_to(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Reads both pipes to their ends without filling either.
void drain(int out, int err, ProgramResult& result) {
  std::array<pollfd, 2> pipes = {{{out, POLLIN, 0}, {err, POLLIN, 0}}};
  std::array<std::string*, 2> texts = {&result.out, &result.err};
  int open = 2;
  std::array<char, 65536> chunk{};
  while (open > 0) {
    if (::poll(pipes.data(), pipes.size(), -1) < 0) continue;
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].revents == 0) continue;
      const ssize_t got = ::read(pipes[i].fd, chunk.data(), chunk.size());
      if (got > 0) {
        texts[i]->append(chunk.data(), static_cast<std::size_t>(got));
      } else {
        ::close(pipes[i].fd);
        pipes[i].fd = -1;
        --open;
      }
    }
  }
}

/// The child's side: never returns.
[[noreturn]] void become(std::vector<std::string> words, const std::filesystem::path& folder,
                         std::vector<std::string> environment, int out, int err) {
  std::vector<char*> argv = pointers_to(words);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  if (::chdir(folder.c_str()) != 0) ::_exit(126);
  for (std::string& entry : environment) ::putenv(entry.data());
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

}  // namespace

ProgramResult run_program(const std::vector<std::string>& command,
                          const std::filesystem::path& folder,
                          const std::vector<std::string>& environment) {
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("pipe failed");
  }
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) become(command, folder, environment, out[1], err[1]);
  ::close(out[1]);
  ::close(err[1]);
  ProgramResult result;
  drain(out[0], err[0], result);
  result.exit_code = wait_for_program(child);
  return result;
}

pid_t start_program(const std::vector<std::string>& command, const std::filesystem::path& folder,
                    const std::string& errors) {
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  const int err = ::open((folder / errors).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (nowhere < 0 || err < 0) throw std::runtime_error("cannot create " + errors);
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) become(command, folder, {}, nowhere, err);
  ::close(nowhere);
  ::close(err);
  return child;
}

int wait_for_program(pid_t program) {
  int status = 0;
  while (::waitpid(program, &status, 0) < 0) {
    if (errno != EINTR) throw std::runtime_error("waitpid failed");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> under_mpirun(int ranks, std::vector<std::string> command) {
  if (ranks == 1) return command;
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  std::vector<std::string> whole = {"mpirun",
                                    "-n",
                                    std::to_string(ranks),
                                    "--oversubscribe",
                                    "--bind-to",
                                    "none",
                                    "--mca",
                                    "mpi_yield_when_idle",
                                    "1"};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace gridmill::test
