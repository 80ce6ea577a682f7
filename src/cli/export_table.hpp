#pragma once

#include <map>
#include <string>
#include <vector>

#include "cli/export_rows.hpp"
#include "gridmill/output/output_target.hpp"
#include "gridmill/records/result_records.hpp"

namespace gridmill::cli {

/// Writes the chosen rows as an HDF5 file of columns (docs/formats/export.md). Goes through the
/// rows twice: for the kinds of the columns first.
/// @return rows that are not finished and were left out.
/// @throws OutputError, IoError; FormatError for a record whose fields cannot be columns.
[[nodiscard]] std::uint64_t export_table(const ResultRecords& records, const RowChoice& choice,
                                         const LineShape& shape, const OutputTarget& target);

}  // namespace gridmill::cli
