#include "gridmill/base/row_record.hpp"

#include <cstddef>
#include <span>

#include "gridmill/base/crc32c.hpp"

namespace gridmill {

std::uint32_t row_record_crc(const RowRecord& record) {
  return crc32c(std::as_bytes(std::span(&record, 1)).first(offsetof(RowRecord, row_crc)));
}

RowRecord sealed(RowRecord record) {
  record.row_crc = row_record_crc(record);
  return record;
}

}  // namespace gridmill
