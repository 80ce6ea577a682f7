#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/base/json.hpp"

namespace gridmill {

/// OUT.h5.runs.jsonl: one record a run, for everything that differs between equal jobs. Begun by
/// the process that holds the RunLock, finished by it or by one that ends the job.
class RunLog {
 public:
  /// @param output  path of the result file.
  explicit RunLog(const std::string& output);
  /// In another process of the job: the record that begin() put at this offset.
  RunLog(const std::string& output, std::uint64_t begun_at);
  /// Appends the record of a run that begins; durable on return. @throws OutputError, IoError
  void begin(const OrderedJson& record);
  /// Replaces the record of begin() by the final one, atomically. @throws IoError
  void finish(const OrderedJson& record);
  /// Where begin() put the record, for other processes; 0 before.
  [[nodiscard]] std::uint64_t begun_at() const { return begun_at_.value_or(0); }

 private:
  std::string output_;
  std::string path_;
  std::optional<std::uint64_t> begun_at_;  // offset of the line of begin()
};

/// Record of the last run on `output`, if there is a readable one. A line that a kill cut short is
/// passed over.
[[nodiscard]] std::optional<Json> last_run(const std::string& output);

/// Records of the newest runs on `output`, `most` of them at most, oldest first. Lines that a kill
/// cut short are passed over.
[[nodiscard]] std::vector<Json> newest_runs(const std::string& output, std::size_t most);

/// Makes the log of `output` of those of other result files, which may have none, and of `last`,
/// atomically: records in the order of their starts, each once. Lines that a kill cut short are
/// left out. @throws OutputError, IoError
void join_run_logs(const std::string& output, const std::vector<std::string>& others,
                   const OrderedJson& last);

/// OUT.h5.runs.jsonl of OUT.h5; beside the file itself if `output` is a link to it.
[[nodiscard]] std::string run_log_path_of(const std::string& output);

}  // namespace gridmill
