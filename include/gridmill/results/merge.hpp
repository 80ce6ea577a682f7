#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/temporary_file.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/result_file.hpp"

namespace gridmill {

/// Prompts [first, first + count).
struct PromptRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  friend bool operator==(const PromptRange&, const PromptRange&) = default;
};

/// Totals of a merge.
struct MergeCounts {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t repeated = 0;  ///< done rows that were there already, with the same bytes
  std::uint64_t damaged = 0;   ///< rows of parts that were not taken
};

/// Joins unfinished files of one job into a new file of it. The new file is a file of the whole
/// job, finished or not, and does not depend on the order of its parts: with all rows it has the
/// bytes that one undivided job writes. Local. Memory: two bits a row of the job, and a block of
/// rows.
///
/// The file has a temporary name until publish(); without it nothing is left.
class ResultMerge {
 public:
  /// @param path   of the new file; what has that name stays until publish().
  /// @param first  any of the parts: identity, shape, format and gridmill version are taken from
  /// it.
  /// @throws OutputError if the file cannot be created.
  ResultMerge(const std::string& path, const ResultFile& first);

  /// Takes the finished rows of `part` that are not there yet. A done row replaces a failed one. Of
  /// a row that failed in two parts the first one stays. Damaged rows are left out, with a warning;
  /// partial rows without one.
  /// @param part     no run may be writing it (require_no_writer).
  /// @param threads  that check rows.
  /// @throws FormatError if the part is of another job than `first`, names the field; or if a row
  /// is done in two parts with different bytes, names the row, the dataset and both files; IoError.
  void add(const ResultFile& part, int threads);

  [[nodiscard]] const MergeCounts& counts() const { return counts_; }
  [[nodiscard]] std::uint64_t rows() const { return layout_.shape.rows; }
  [[nodiscard]] std::uint64_t missing() const { return rows() - counts_.done - counts_.failed; }
  /// Prompts of which a row is missing, ascending.
  [[nodiscard]] std::vector<PromptRange> missing_prompts() const;

  /// Makes the file durable and gives it its name, in place of what has it. @throws IoError
  void publish() { temporary_.publish(); }

 private:
  void require_same_job(const ResultFile& part) const;
  void take_block(const ResultFile& part, RowId first, std::uint64_t count, int threads);
  void copy_rows(const ResultFile& part, RowId first, std::uint64_t count);
  void clear_row(RowId row);
  void require_same_row(const ResultFile& part, RowId row) const;

  std::string first_path_;
  JobIdentity identity_;
  TemporaryFile temporary_;
  std::unique_ptr<RowFile> file_;
  ResultLayout layout_;
  std::vector<bool> done_;
  std::vector<bool> failed_;
  std::vector<std::string> added_;  ///< paths of parts, in order
  MergeCounts counts_;
};

}  // namespace gridmill
