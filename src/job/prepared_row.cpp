#include <cstdint>

#include "gridmill/results/row.hpp"
#include "job/prepared_row_detail.hpp"

namespace gridmill::job_detail {

PreparedRow prepare_row(RowId row, const RequestMaker& requests, const RowFile& file,
                        const ResultLayout& layout) {
  PreparedRow prepared{.row = row, .request = requests.make(row)};
  auto* request = std::get_if<Request>(&prepared.request);
  if (request == nullptr) return prepared;
  const RowRecord record = read_records(file, layout, row, 1).front();
  if (record.status == static_cast<std::uint16_t>(RowStatus::partial) &&
      is_consistent(layout, row, record)) {
    const StoredRow stored = read_row(file, layout, row);
    request->replay.assign(stored.tokens.begin() + stored.record.prefix_length,
                           stored.tokens.end());
    prepared.saved_length = stored.tokens.size();
  }
  return prepared;
}

}  // namespace gridmill::job_detail
