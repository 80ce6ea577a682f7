#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "gridmill/base/error.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill::test {

/// What happens to the calls of a FaultyRowFile; shared with the test that set it up.
struct FaultPlan {
  std::atomic<int> writes_left{-1};  ///< this many writes succeed, the next one fails; -1 = all
  std::atomic<int> syncs_left{-1};
  std::atomic<int> writes{0};
  std::atomic<int> syncs{0};
  std::atomic<bool> hold_syncs{false};  ///< syncs wait as long as this is true
};

/// Waits until a sync has begun.
inline void wait_for_a_sync(const FaultPlan& plan) { plan.syncs.wait(0); }
/// Lets syncs that wait go on.
inline void release_syncs(FaultPlan& plan) {
  plan.hold_syncs = false;
  plan.hold_syncs.notify_all();
}

/// A file on a disk that breaks when it is told to.
class FaultyRowFile final : public RowFile {
 public:
  FaultyRowFile(const std::string& path, std::shared_ptr<FaultPlan> plan)
      : file_(open_row_file(path, true)), plan_(std::move(plan)) {}

  [[nodiscard]] const std::string& path() const override { return file_->path(); }
  void read(std::uint64_t offset, std::span<std::byte> bytes) const override {
    file_->read(offset, bytes);
  }
  void write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    ++plan_->writes;
    spend(plan_->writes_left, "writing: Input/output error");
    file_->write(offset, bytes);
  }
  void sync() override {
    ++plan_->syncs;
    plan_->syncs.notify_all();
    plan_->hold_syncs.wait(true);
    spend(plan_->syncs_left, "syncing: No space left on device");
    file_->sync();
  }
  [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) const override {
    return file_->next_data(offset);
  }

 private:
  static void spend(std::atomic<int>& left, const char* message) {
    if (left.load() < 0) return;
    // Once broken it "works" again: nobody may try.
    if (left.fetch_sub(1) == 0) throw IoError(message);
  }

  std::unique_ptr<RowFile> file_;
  std::shared_ptr<FaultPlan> plan_;
};

}  // namespace gridmill::test
