// Power cuts, without a power switch: a disk in memory that keeps what was synced and, of the rest,
// any subset of sectors. Whatever it keeps, no durable row may be lost or wrong.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/results/recovery.hpp"
#include "gridmill/results/result_store.hpp"
#include "unit/results/sample.hpp"

namespace gridmill {
namespace {

using test::SampleRow;

constexpr std::size_t kSectorBytes = 512;
constexpr ResultShape kShape{.rows = 40, .samples_per_prompt = 1, .max_length = 300};

ResultLayout layout() {
  return {.shape = kShape,
          .rows_offset = 4096,
          .tokens_offset = 8192,
          .failure_offset = 8192 + 13 * 4096};
}
constexpr std::size_t kDiskBytes = 8192 + 13 * 4096 + 3 * 4096;

/// What survives a power cut, and what only looks as if it would.
struct Disk {
  std::vector<std::byte> seen = std::vector<std::byte>(kDiskBytes);
  std::vector<std::byte> durable = std::vector<std::byte>(kDiskBytes);
  std::set<std::size_t> dirty_sectors;
  int operations_until_cut = std::numeric_limits<int>::max();

  void count_operation() {
    if (operations_until_cut-- <= 0) throw IoError("power is off");
  }
};

class DiskRowFile final : public RowFile {
 public:
  explicit DiskRowFile(std::shared_ptr<Disk> disk) : disk_(std::move(disk)) {}
  [[nodiscard]] const std::string& path() const override { return path_; }
  void read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    std::copy_n(disk_->seen.begin() + static_cast<std::ptrdiff_t>(offset), bytes.size(),
                bytes.begin());
  }
  void write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    disk_->count_operation();
    std::copy(bytes.begin(), bytes.end(),
              disk_->seen.begin() + static_cast<std::ptrdiff_t>(offset));
    for (std::size_t at = offset / kSectorBytes; at * kSectorBytes < offset + bytes.size(); ++at) {
      disk_->dirty_sectors.insert(at);
    }
  }
  void sync() override {
    disk_->count_operation();
    disk_->durable = disk_->seen;
    disk_->dirty_sectors.clear();
  }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override { return offset; }

 private:
  std::shared_ptr<Disk> disk_;
  std::string path_ = "disk";
};

/// What a reader finds after the cut: of each unsynced sector the old bytes or the new ones.
std::shared_ptr<Disk> after_cut(const Disk& disk, std::mt19937& random) {
  auto survivor = std::make_shared<Disk>();
  survivor->durable = disk.durable;
  for (const std::size_t sector : disk.dirty_sectors) {
    if (random() % 2 == 0) continue;
    const auto begin = static_cast<std::ptrdiff_t>(sector * kSectorBytes);
    std::copy_n(disk.seen.begin() + begin, kSectorBytes, survivor->durable.begin() + begin);
  }
  survivor->seen = survivor->durable;
  return survivor;
}

/// One run on `disk` until all rows are there or the power fails. Adds durable rows to `durable`.
void run_until_cut(const std::shared_ptr<Disk>& disk, std::set<RowId>& durable,
                   std::mt19937& random) {
  const DiskRowFile reader(disk);
  const std::vector<RowState> states = scan_rows(reader, layout(), 0, kShape.rows);
  // A row is finished when its last put() is durable, not an earlier partial one.
  std::multiset<RowId> awaited;
  std::set<RowId> growing;
  const auto acknowledge = [&](std::span<const RowId> rows) {
    for (const RowId row : rows) {
      awaited.erase(awaited.find(row));
      if (!awaited.contains(row) && !growing.contains(row)) durable.insert(row);
    }
  };
  const ResultStoreOptions options{.commit_interval = std::chrono::hours{1},
                                   .on_durable = acknowledge,
                                   .check_ownership = nullptr};
  ResultStore store(std::make_unique<DiskRowFile>(disk), layout(), options);
  store.discard(rows_in_state(states, RowState::damaged));
  for (RowId row = 0; row < kShape.rows; ++row) {
    if (states[row] == RowState::done || states[row] == RowState::failed) continue;
    const SampleRow sample(kShape, row);
    if (random() % 3 == 0 && sample.tokens.size() > 1) {
      growing.insert(row);
      awaited.insert(row);
      store.put(sample.result(sample.tokens.size() / 2));
    }
    if (random() % 3 == 0) store.flush();
    growing.erase(row);
    awaited.insert(row);
    store.put(sample.result());
    if (random() % 4 == 0) store.flush();
  }
  store.close();
}

/// Rows that were reported durable are there; rows that count as done are right.
void check(const Disk& disk, const std::set<RowId>& durable) {
  const DiskRowFile reader(std::make_shared<Disk>(disk));
  const std::vector<RowState> states = scan_rows(reader, layout(), 0, kShape.rows);
  // A record never reaches the disk ahead of what it describes.
  ASSERT_TRUE(rows_in_state(states, RowState::damaged).empty());
  for (RowId row = 0; row < kShape.rows; ++row) {
    const bool finished = states[row] == RowState::done || states[row] == RowState::failed;
    if (durable.contains(row)) {
      ASSERT_TRUE(finished) << row;
    }
    if (finished) {
      ASSERT_TRUE(test::holds(read_row(reader, layout(), row), SampleRow(kShape, row))) << row;
    }
  }
}

class PowerCut : public ::testing::TestWithParam<unsigned> {};

TEST_P(PowerCut, LosesNoDurableRowAndTheFileEndsTheSame) {
  std::mt19937 random(GetParam());
  const auto whole = std::make_shared<Disk>();
  {
    ResultStore store(std::make_unique<DiskRowFile>(whole), layout(), {});
    for (RowId row = 0; row < kShape.rows; ++row) store.put(SampleRow(kShape, row).result());
    store.close();
  }
  auto disk = std::make_shared<Disk>();
  std::set<RowId> durable;
  for (int cut = 0; cut < 12; ++cut) {
    disk->operations_until_cut = static_cast<int>(random() % 60);
    try {
      run_until_cut(disk, durable, random);
      break;
    } catch (const IoError&) {
      disk = after_cut(*disk, random);
      ASSERT_NO_FATAL_FAILURE(check(*disk, durable));
    }
  }
  disk->operations_until_cut = std::numeric_limits<int>::max();
  run_until_cut(disk, durable, random);
  check(*disk, durable);
  const std::vector<RowState> states = scan_rows(DiskRowFile(disk), layout(), 0, kShape.rows);
  EXPECT_EQ(
      rows_in_state(states, RowState::done).size() + rows_in_state(states, RowState::failed).size(),
      kShape.rows);
  EXPECT_EQ(disk->durable, whole->durable);
}

INSTANTIATE_TEST_SUITE_P(Seeds, PowerCut, ::testing::Range(0U, 60U));

TEST(PowerCutHarness, WouldNoticeAStoreThatDoesNotSyncPayloadFirst) {
  // The record alone becomes durable: exactly what the order of writes must prevent.
  auto disk = std::make_shared<Disk>();
  DiskRowFile file(disk);
  const SampleRow sample(kShape, 1);
  const RowRecord record = make_record(layout(), sample.result());
  file.write(layout().record_at(1), std::as_bytes(std::span(&record, 1)));
  file.sync();
  EXPECT_EQ(scan_rows(file, layout(), 0, kShape.rows)[1], RowState::damaged);
}

}  // namespace
}  // namespace gridmill
