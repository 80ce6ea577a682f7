#pragma once

#include <cstdint>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill {

/// Verdict of recovery on a row. The first four have the numbers of RowStatus.
enum class RowState : std::uint8_t { missing = 0, done = 1, failed = 2, partial = 3, damaged = 4 };

struct ScanOptions {
  int threads = 1;
  /// false: trust records on their own crc and never read what they describe.
  bool payload = true;
};

/// States of rows [first, first + count): a row counts as done, failed or partial only if its
/// record is consistent, both crcs agree and (but for partial rows, which grow) zeros lie behind
/// its end. Rows are judged twice before they are called damaged, since the file may be written
/// meanwhile.
/// @throws IoError if the file cannot be read, FormatError if it ends too early.
[[nodiscard]] std::vector<RowState> scan_rows(const RowFile& file, const ResultLayout& layout,
                                              RowId first, std::uint64_t count,
                                              const ScanOptions& options = {});

/// Rows (first + index) whose state is `state`.
[[nodiscard]] std::vector<RowId> rows_in_state(const std::vector<RowState>& states, RowState state,
                                               RowId first = 0);

}  // namespace gridmill
