#pragma once

#include <cstdint>
#include <string>

#include "gridmill/base/file.hpp"

namespace gridmill {

/// Names one run of a job on one result file. Trivially copyable, for a broadcast.
struct RunEpoch {
  std::uint64_t number = 0;  ///< one more than that of the run before
  std::uint64_t nonce = 0;   ///< distinguishes runs whose lock file was removed in between
  friend bool operator==(const RunEpoch&, const RunEpoch&) = default;
};

/// Holds OUT.h5.lock (an exclusive fcntl lock of the open file description) for one run, and has
/// raised the epoch in it. One process of a job. The result file itself is never locked.
///
/// Only users who may write the lock file may read it, so no other user can lock it. A shared lock
/// belongs to no run: the file is replaced.
class RunLock {
 public:
  /// @param output  path of the result file.
  /// @throws OutputError if another run holds the lock, naming it, or the lock file cannot be made
  /// or is not what gridmill makes: a link, a file with several names, or another user's; IoError
  /// if it cannot be written.
  [[nodiscard]] static RunLock acquire(const std::string& output);
  [[nodiscard]] const RunEpoch& epoch() const { return epoch_; }

 private:
  RunLock(FileDescriptor file, RunEpoch epoch) : file_(std::move(file)), epoch_(epoch) {}
  FileDescriptor file_;
  RunEpoch epoch_;
};

/// Every writing rank: is this run still the owner? A lock alone does not stop a rank whose node
/// was given up by the scheduler while a new run started elsewhere.
class RunGuard {
 public:
  RunGuard(const std::string& output, RunEpoch epoch);
  /// @throws OutputError if the lock file names another run or is gone; IoError.
  void check() const;

 private:
  std::string lock_path_;
  RunEpoch epoch_;
};

/// For a reader of `output`: refuses while a run holds its lock. Writes nothing. Warns where it
/// cannot tell: the lock file is another user's, or the file system has no locks.
/// @throws OutputError that names the holder; IoError if the lock file cannot be opened.
void require_no_writer(const std::string& output);

/// OUT.h5.lock of OUT.h5; beside the file itself if `output` is a link to it.
[[nodiscard]] std::string lock_path_of(const std::string& output);

/// Whether the file or folder lies on NFS, whose clients cache whole pages: two nodes must not
/// write records of the same page there. @throws IoError
[[nodiscard]] bool on_network_file_system(const std::string& path);

}  // namespace gridmill
