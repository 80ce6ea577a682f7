#pragma once

#include <string>

#include "gridmill/results/layout.hpp"
#include "gridmill/results/row.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill {

/// How the bytes of a row in the file differ from those that `expected` would be stored as, for a
/// reader: "token 17 is 5, expected 9"; empty if every bit agrees: the record with its crcs, and
/// all the room of the row, zeros behind its end included (not of a partial row, which grows).
/// @throws IoError; InternalError if `expected` does not fit the layout.
[[nodiscard]] std::string row_difference(const RowFile& file, const ResultLayout& layout,
                                         const RowResult& expected);

}  // namespace gridmill
