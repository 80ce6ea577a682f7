#include "gridmill/base/available_memory.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::uint64_t kNoLimitV1 = 9223372036854771712U;

/// A machine of made-up files: 1,000 MiB are available, nothing else limits anything.
class MadeUpMachine : public ::testing::Test {
 protected:
  MadeUpMachine() {
    write("/proc/meminfo", "MemTotal: 4096000 kB\nMemFree: 1 kB\nMemAvailable: 1024000 kB\n");
    write("/proc/self/status", "Name: gridmill\nVmSize:\t 409600 kB\nVmData:\t 102400 kB\n");
  }
  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = folder_.path().string() + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  /// Both versions, mounted as systemd does it on a hybrid machine.
  void mount_all() const {
    write("/proc/self/mountinfo",
          "22 1 0:21 / / rw - ext4 /dev/sda1 rw\n"
          "31 22 0:27 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro,mode=755\n"
          "32 31 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n"
          "33 31 0:29 / /sys/fs/cgroup/cpu rw shared:11 - cgroup cgroup rw,cpu,cpuacct\n"
          "34 31 0:30 / /sys/fs/cgroup/memory rw shared:12 - cgroup cgroup rw,memory\n");
  }
  void mount_v2() const {
    write("/proc/self/mountinfo", "30 22 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n");
  }
  void group_v2(const std::string& group, const std::string& limit, std::uint64_t used_mib,
                std::uint64_t file_mib) const {
    const std::string folder = "/sys/fs/cgroup" + group;
    write(folder + "/memory.max", limit + "\n");
    write(folder + "/memory.current", std::to_string(used_mib * kMiB) + "\n");
    write(folder + "/memory.stat", "anon 123\nfile 99999999999\ninactive_file " +
                                       std::to_string(file_mib * kMiB / 2) + "\nactive_file " +
                                       std::to_string(file_mib * kMiB / 2) + "\nshmem 7\n");
  }
  void group_v1(const std::string& group, std::uint64_t limit_bytes, std::uint64_t used_mib,
                std::uint64_t file_mib, const std::string& hierarchy = "1") const {
    const std::string folder = "/sys/fs/cgroup/memory" + group;
    write(folder + "/memory.limit_in_bytes", std::to_string(limit_bytes) + "\n");
    write(folder + "/memory.usage_in_bytes", std::to_string(used_mib * kMiB) + "\n");
    write(folder + "/memory.use_hierarchy", hierarchy + "\n");
    write(folder + "/memory.stat",
          "cache 99999999999\ninactive_file 1\nactive_file 1\n"
          "total_inactive_file " +
              std::to_string(file_mib * kMiB / 2) + "\ntotal_active_file " +
              std::to_string(file_mib * kMiB / 2) + "\n");
  }
  [[nodiscard]] AvailableMemory look() const {
    return available_memory({.root = folder_.path().string(),
                             .address_space_limit = address_space_limit_,
                             .data_limit = data_limit_});
  }
  [[nodiscard]] std::uint64_t shared_mib() const { return look().shared_bytes.value() / kMiB; }

  test::TemporaryFolder folder_;
  std::optional<std::uint64_t> address_space_limit_;
  std::optional<std::uint64_t> data_limit_;
};

TEST_F(MadeUpMachine, WithoutGroupsTheNodeDecides) { EXPECT_EQ(shared_mib(), 1000U); }

TEST_F(MadeUpMachine, WithoutAnyFileNothingIsKnown) {
  const test::TemporaryFolder empty;
  const AvailableMemory memory = available_memory({.root = empty.path().string()});
  EXPECT_EQ(memory.shared_bytes, std::nullopt);
  EXPECT_EQ(memory.own_bytes, std::nullopt);
  EXPECT_EQ(memory.share_of(4), std::nullopt);
}

TEST_F(MadeUpMachine, TheLimitOfItsOwnGroupCounts) {
  mount_v2();
  write("/proc/self/cgroup", "0::/job\n");
  group_v2("/job", std::to_string(500 * kMiB), 120, 0);
  EXPECT_EQ(shared_mib(), 380U);
}

TEST_F(MadeUpMachine, PageCacheIsNoUse) {
  mount_v2();
  write("/proc/self/cgroup", "0::/job\n");
  group_v2("/job", std::to_string(500 * kMiB), 490, 450);
  EXPECT_EQ(shared_mib(), 460U);
}

TEST_F(MadeUpMachine, AGroupFarAboveLimitsToo) {
  mount_v2();
  write("/proc/self/cgroup", "0::/slurm/job_7/step_0/task_3\n");
  group_v2("/slurm/job_7/step_0/task_3", "max", 10, 0);
  group_v2("/slurm/job_7/step_0", "max", 20, 0);
  group_v2("/slurm/job_7", std::to_string(200 * kMiB), 50, 10);
  group_v2("/slurm", std::to_string(900 * kMiB), 60, 0);
  EXPECT_EQ(shared_mib(), 160U);
}

TEST_F(MadeUpMachine, MemoryHighIsALimit) {
  mount_v2();
  write("/proc/self/cgroup", "0::/job\n");
  group_v2("/job", "max", 100, 0);
  write("/sys/fs/cgroup/job/memory.high", std::to_string(300 * kMiB) + "\n");
  EXPECT_EQ(shared_mib(), 200U);
}

TEST_F(MadeUpMachine, AFullGroupLeavesNothingWhichIsNotUnknown) {
  mount_v2();
  write("/proc/self/cgroup", "0::/job\n");
  group_v2("/job", std::to_string(100 * kMiB), 101, 0);
  EXPECT_EQ(look().shared_bytes, std::optional<std::uint64_t>(0));
}

TEST_F(MadeUpMachine, Version1CountsWithItsHierarchicalNumbers) {
  mount_all();
  write("/proc/self/cgroup", "5:cpu,cpuacct:/elsewhere\n4:memory:/batch/job\n0::/user\n");
  group_v1("/batch/job", 180 * kMiB, 100, 60);
  group_v1("/batch", kNoLimitV1, 3000, 0);
  group_v1("", kNoLimitV1, 4000, 0);
  EXPECT_EQ(shared_mib(), 140U);
}

TEST_F(MadeUpMachine, Version1LimitsOfParentsHoldUnlessTheyDoNotCountTheirChildren) {
  mount_all();
  write("/proc/self/cgroup", "4:memory:/batch/job\n");
  group_v1("/batch/job", kNoLimitV1, 10, 0);
  group_v1("/batch", 90 * kMiB, 10, 0);
  EXPECT_EQ(shared_mib(), 80U);
  group_v1("/batch", 90 * kMiB, 10, 0, "0");
  EXPECT_EQ(shared_mib(), 1000U);
}

TEST_F(MadeUpMachine, InAContainerTheMountedGroupIsItsOwn) {
  // Version 1 without namespaces: the host's name of the group, mounted as if it was the top.
  write("/proc/self/cgroup", "4:memory:/docker/0123\n");
  write("/proc/self/mountinfo",
        "34 31 0:30 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
  group_v1("", 150 * kMiB, 50, 0);
  EXPECT_EQ(shared_mib(), 100U);
  // A name that lies outside of what is mounted.
  write("/proc/self/cgroup", "4:memory:/../other\n");
  EXPECT_EQ(shared_mib(), 100U);
}

TEST_F(MadeUpMachine, OfSeveralMountsTheOneThatShowsMoreCounts) {
  write("/proc/self/cgroup", "0::/a/b\n");
  write("/proc/self/mountinfo",
        "30 22 0:26 /a/b /inner rw - cgroup2 cgroup2 rw\n"
        "31 22 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
  write("/inner/memory.max", "max\n");
  write("/my groups/a/memory.max", std::to_string(70 * kMiB) + "\n");
  write("/my groups/a/memory.current", std::to_string(20 * kMiB) + "\n");
  EXPECT_EQ(shared_mib(), 50U);
}

TEST_F(MadeUpMachine, LimitsOfTheProcessAreItsOwn) {
  address_space_limit_ = 700 * kMiB;  // 400 MiB are in use
  EXPECT_EQ(look().own_bytes, std::optional(300 * kMiB));
  data_limit_ = 250 * kMiB;  // 100 MiB are in use
  EXPECT_EQ(look().own_bytes, std::optional(150 * kMiB));
  EXPECT_EQ(shared_mib(), 1000U);
}

TEST_F(MadeUpMachine, RanksOfANodeShareWhatIsShared) {
  EXPECT_EQ(look().share_of(4), std::optional(250 * kMiB));
  address_space_limit_ = 500 * kMiB;
  EXPECT_EQ(look().share_of(4), std::optional(100 * kMiB)) << "400 MiB of 500 are in use";
  EXPECT_EQ(look().share_of(100), std::optional(10 * kMiB));
}

TEST(AvailableMemory, OfThisProcessIsSomething) {
  ASSERT_TRUE(available_memory().shared_bytes.has_value());
  EXPECT_GT(*available_memory().shared_bytes, 0U);
}

}  // namespace
}  // namespace gridmill
