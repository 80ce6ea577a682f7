#include "gridmill/grid/node_memory.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "gridmill/base/available_memory.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/grid/collectives.hpp"
#include "strangers/stranger_process.hpp"

namespace gridmill {
namespace {

class NodeMemoryTest : public testing::TestWithParam<MemoryHandOver> {
 protected:
  Communicator world_ = Communicator::duplicate(MPI_COMM_WORLD);
  std::size_t rank_ = static_cast<std::size_t>(world_.rank());
  std::size_t ranks_ = static_cast<std::size_t>(world_.size());
};

TEST_P(NodeMemoryTest, WhatOneRankWritesTheOthersRead) {
  constexpr std::size_t kEach = 5000;  // no multiple of a page
  NodeMemory memory = NodeMemory::create(world_, kEach * ranks_, "a test", GetParam());
  ASSERT_EQ(memory.bytes().size(), kEach * ranks_);
  for (std::size_t i = 0; i < kEach; ++i) {
    EXPECT_EQ(memory.bytes()[rank_ * kEach + i], std::byte{0});
    memory.bytes()[rank_ * kEach + i] = static_cast<std::byte>(rank_ + 1);
  }
  memory.seal(world_);
  for (std::size_t rank = 0; rank < ranks_; ++rank) {
    EXPECT_EQ(memory.bytes()[rank * kEach], static_cast<std::byte>(rank + 1));
    EXPECT_EQ(memory.bytes()[rank * kEach + kEach - 1], static_cast<std::byte>(rank + 1));
  }
  world_.barrier();
}

/// Descriptors of shared memory that this process has.
std::vector<FileDescriptor> memory_descriptors() {
  std::vector<FileDescriptor> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    const std::string target = std::filesystem::read_symlink(entry.path(), ignored).string();
    if (target.find("memfd:gridmill") == std::string::npos) continue;
    found.emplace_back(::dup(std::stoi(entry.path().filename())));
  }
  return found;
}

TEST_P(NodeMemoryTest, NobodyWritesIntoSealedMemoryAnyMore) {
  if (ranks_ == 1) return;  // no descriptor at all
  NodeMemory memory = NodeMemory::create(world_, 5000, "a test", GetParam());
  const std::vector<FileDescriptor> kept = memory_descriptors();
  ASSERT_FALSE(kept.empty());
  const int file = kept.front().get();
  memory.bytes()[4999] = std::byte{7};
  memory.seal(world_);
  EXPECT_EQ(memory_descriptors().size(), kept.size()) << "the memory's own is closed";
  const std::byte other{9};
  EXPECT_EQ(::pwrite(file, &other, 1, 4999), -1);
  EXPECT_EQ(::ftruncate(file, 100), -1) << "readers would end with SIGBUS";
  EXPECT_EQ(::mmap(nullptr, 5000, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), MAP_FAILED);
  EXPECT_EQ(memory.bytes()[4999], std::byte{7});
  world_.barrier();
}

TEST(NodeMemory, AnotherUserOfTheHostGetsNoDescriptor) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  if (world.size() == 1) return;  // nothing is shared
  if (any_rank(world, world.rank() == 0 && ::geteuid() != 0)) {
    GTEST_SKIP() << "needs root, who can become another user";
  }
  std::unique_ptr<test::StrangerProcess> stranger;
  if (world.rank() == 0) stranger = std::make_unique<test::StrangerProcess>(1.5);
  bool again = true;
  while (again) {
    NodeMemory memory =
        NodeMemory::create(world, std::size_t{1} << 20, "a test", MemoryHandOver::unix_socket);
    memory.bytes()[world.rank()] = std::byte{1};
    memory.seal(world);
    EXPECT_EQ(memory.bytes()[world.size() - 1], std::byte{1});
    again = any_rank(world, stranger && stranger->running());
  }
  if (stranger) {
    EXPECT_EQ(stranger->exit_code(), 0) << "it got a descriptor";
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, NodeMemoryTest,
                         testing::Values(MemoryHandOver::automatic, MemoryHandOver::proc_folder,
                                         MemoryHandOver::unix_socket));

TEST(NodeMemory, NothingIsEmpty) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  EXPECT_TRUE(NodeMemory::create(world, 0, "nothing").bytes().empty());
}

TEST(NodeMemory, TooMuchIsRefusedOnEveryRankBeforeAnythingIsTaken) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  const std::size_t each =
      available_memory().shared_bytes.value() / static_cast<std::size_t>(world.size());
  EXPECT_GT(each, 0U);
  EXPECT_NO_THROW(check_node_memory(world, 1 << 20, "a test"));
  try {
    check_node_memory(world, each * 2, "the model");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const ResourceError& error) {
    EXPECT_NE(std::string(error.what()).find("the model"), std::string::npos);
  }
}

TEST(NodeMemory, ARankThatCannotMapItFailsEveryRank) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_AS, &before), 0);
  const bool unlucky = world.rank() == world.size() - 1;
  if (unlucky) {
    rlimit tight = before;
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    tight.rlim_cur = pages * 4096 + (std::size_t{8} << 20);  // what is mapped, and 8 MiB
    ASSERT_EQ(::setrlimit(RLIMIT_AS, &tight), 0);
  }
  std::string message;
  try {
    static_cast<void>(NodeMemory::create(world, std::size_t{32} << 20, "the model"));
  } catch (const ResourceError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_AS, &before);
  EXPECT_NE(message.find("the model"), std::string::npos) << message;
  EXPECT_EQ(all_gather_text(world, message),
            std::vector<std::string>(static_cast<std::size_t>(world.size()), message));
}

/// Lets this process open no further descriptor as long as it lives.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = ::dup(STDERR_FILENO);
    ::close(lowest_free);
    rlimit tight = before_;
    tight.rlim_cur = static_cast<rlim_t>(lowest_free);
    ::setrlimit(RLIMIT_NOFILE, &tight);
  }
  NoMoreFiles(const NoMoreFiles&) = delete;
  NoMoreFiles& operator=(const NoMoreFiles&) = delete;
  ~NoMoreFiles() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST(NodeMemory, ARankWithoutDescriptorsFailsEveryRank) {
  const Communicator world = Communicator::duplicate(MPI_COMM_WORLD);
  if (world.size() == 1) return;  // it needs none
  for (int unlucky = 0; unlucky < world.size(); ++unlucky) {
    std::string message;
    {
      std::optional<NoMoreFiles> limit;
      if (world.rank() == unlucky) limit.emplace();
      try {
        static_cast<void>(NodeMemory::create(world, 4096, "the model"));
      } catch (const ResourceError& error) {
        message = error.what();
      }
    }
    EXPECT_NE(message, "") << "rank " << unlucky;
    EXPECT_EQ(all_gather_text(world, message),
              std::vector<std::string>(static_cast<std::size_t>(world.size()), message));
  }
}

}  // namespace
}  // namespace gridmill
