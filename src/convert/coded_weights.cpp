#include "convert/coded_weights.hpp"

#include <algorithm>
#include <cstring>

#include "gridmill/base/parallel.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill::convert_detail {

CodedPiece quantize_rows(std::span<const float> values, std::int64_t inputs,
                         const WeightFormat& format, std::int64_t block, int threads) {
  const auto width = static_cast<std::size_t>(inputs);
  const std::size_t rows = values.size() / width;
  const auto row_codes = static_cast<std::size_t>(code_bytes(format.codes, inputs));
  const auto groups = static_cast<std::size_t>(groups_in(inputs, block, format.group));
  const std::size_t row_scales = groups * static_cast<std::size_t>(kScaleBytes);
  CodedPiece piece;
  piece.codes.resize(rows * row_codes);
  piece.scales.resize(rows * row_scales);
  constexpr std::size_t kRowsAtATime = 16;
  run_parallel(threads, (rows + kRowsAtATime - 1) / kRowsAtATime,
               [&, codes = std::vector<std::byte>(width),
                scales = std::vector<std::uint16_t>(groups)](std::size_t index) mutable {
                 const std::size_t end = std::min(rows, (index + 1) * kRowsAtATime);
                 for (std::size_t row = index * kRowsAtATime; row < end; ++row) {
                   quantize_row(values.subspan(row * width, width), format, block, codes, scales);
                   const auto to = std::span(piece.codes).subspan(row * row_codes, row_codes);
                   if (format.codes == WeightCodes::int4) {
                     pack_int4_row(codes, to);
                   } else {
                     std::copy(codes.begin(), codes.end(), to.begin());
                   }
                   std::memcpy(piece.scales.data() + row * row_scales, scales.data(), row_scales);
                 }
               });
  return piece;
}

}  // namespace gridmill::convert_detail
