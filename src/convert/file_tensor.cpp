#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "convert/file_tensor_detail.hpp"
#include "gridmill/base/check.hpp"

namespace gridmill::convert_detail {

static_assert(std::endian::native == std::endian::little, "files are little-endian");

namespace {

template <typename Stored, typename Decode>
void read_as(const FileRange& range, std::int64_t first, std::span<float> out,
             const std::string& path, Decode decode) {
  std::vector<Stored> stored(out.size());
  read_exactly(*range.file, range.offset + static_cast<std::uint64_t>(first) * sizeof(Stored),
               std::as_writable_bytes(std::span(stored)), path);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = decode(stored[i]);
}

}  // namespace

FileTensor::FileTensor(std::string name, std::string path, Extents shape, std::string type,
                       NumberFormat format, FileRange range)
    : ForeignTensor(std::move(name), std::move(path), std::move(shape), std::move(type)),
      format_(format),
      range_(std::move(range)) {}

void FileTensor::read(std::int64_t first, std::span<float> out) const {
  switch (format_) {
    case NumberFormat::fp32:
      read_exactly(*range_.file, range_.offset + static_cast<std::uint64_t>(first) * sizeof(float),
                   std::as_writable_bytes(out), file());
      return;
    case NumberFormat::bf16:
      read_as<Bf16>(range_, first, out, file(), bf16_to_fp32);
      return;
    case NumberFormat::fp16:
      read_as<std::uint16_t>(range_, first, out, file(), fp16_to_fp32);
      return;
    case NumberFormat::fp64:
      read_as<double>(range_, first, out, file(),
                      [](double value) { return static_cast<float>(value); });
      return;
    case NumberFormat::u8:  // codes of quantised weights
      read_as<std::uint8_t>(range_, first, out, file(),
                            [](std::uint8_t value) { return static_cast<float>(value); });
      return;
    case NumberFormat::integer:
      break;
  }
  throw InternalError(file() + ": tensor " + name() + " of integers was read as a parameter");
}

}  // namespace gridmill::convert_detail
