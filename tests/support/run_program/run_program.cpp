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
#include <map>
#include <stdexcept>
#include <string_view>

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

/// The rank that a launcher gave to `process`; -1 if none did.
int rank_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/environ", std::ios::binary);
  for (std::string entry; std::getline(file, entry, '\0');) {
    for (const std::string_view name : {"OMPI_COMM_WORLD_RANK=", "PMI_RANK="}) {
      if (entry.rfind(name, 0) == 0) return std::stoi(entry.substr(name.size()));
    }
  }
  return -1;
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
  std::vector<std::string> whole = {GRIDMILL_LAUNCH, "-n", std::to_string(ranks)};
  whole.insert(whole.end(), command.begin(), command.end());
  return whole;
}

std::vector<pid_t> children_of(pid_t parent) {
  std::ifstream file("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                     "/children");
  return {std::istream_iterator<pid_t>(file), std::istream_iterator<pid_t>()};
}

std::vector<pid_t> ranks_of(pid_t launcher) {
  std::map<int, pid_t> found;
  std::vector<pid_t> left = children_of(launcher);
  while (!left.empty()) {
    const pid_t process = left.back();
    left.pop_back();
    if (const int rank = rank_of(process); rank >= 0) {
      found.emplace(rank, process);
    } else {
      const std::vector<pid_t> below = children_of(process);
      left.insert(left.end(), below.begin(), below.end());
    }
  }
  std::vector<pid_t> ranks;
  ranks.reserve(found.size());
  for (const auto& [rank, process] : found) ranks.push_back(process);
  return ranks;
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace gridmill::test
