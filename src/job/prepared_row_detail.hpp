#pragma once

#include <cstddef>
#include <variant>

#include "gridmill/base/ids.hpp"
#include "gridmill/generate/request.hpp"
#include "gridmill/job/request_maker.hpp"
#include "gridmill/prompts/prompt_source.hpp"
#include "gridmill/results/layout.hpp"
#include "gridmill/results/row_file.hpp"

namespace gridmill::job_detail {

/// A row as it enters the generator.
struct PreparedRow {
  RowId row = 0;
  std::variant<Request, BadPrompt> request;  ///< or why it is a failed row
  std::size_t saved_length = 0;  ///< tokens of it in the result file; 0 = it is not there
};

/// Reads and encodes the prompt of `row`, and what an earlier run left of the row in `file`, which
/// will be replayed.
/// @throws IoError, FormatError if a file changed under us.
[[nodiscard]] PreparedRow prepare_row(RowId row, const RequestMaker& requests, const RowFile& file,
                                      const ResultLayout& layout);

}  // namespace gridmill::job_detail
