#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gridmill/records/result_records.hpp"
#include "gridmill/results/recovery.hpp"

namespace gridmill::cli {

/// Which rows are exported.
struct RowChoice {
  std::string only;        ///< done, failed, or empty = both
  std::uint64_t best = 0;  ///< best done rows of each prompt; 0 = all rows
  std::string by;          ///< logprob, mean-logprob; empty = logprob
};

/// Rows of one prompt, in the order in which they are exported.
struct PromptRows {
  PromptId prompt = 0;
  std::vector<RowId> rows;
};

/// Goes through a result file prompt by prompt, in constant memory.
class RowWalk {
 public:
  /// References must outlive this.
  RowWalk(const ResultRecords& records, const RowChoice& choice)
      : records_(records), choice_(choice) {}
  /// The next prompt that has rows to export; nothing at the end. @throws IoError, FormatError
  [[nodiscard]] std::optional<PromptRows> next();
  /// Rows so far that are neither done nor failed.
  [[nodiscard]] std::uint64_t unfinished() const { return unfinished_; }

 private:
  [[nodiscard]] RowState state_of(RowId row);
  void keep_best(std::vector<RowId>& rows) const;

  const ResultRecords& records_;
  const RowChoice& choice_;
  RowId next_ = 0;
  std::uint64_t unfinished_ = 0;
  RowId block_begin_ = 0;
  std::vector<RowState> block_;
};

}  // namespace gridmill::cli
