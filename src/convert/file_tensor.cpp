#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
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

float f8_e4m3_to_fp32(std::uint8_t value) {
  constexpr unsigned kAllBits = 0x7F;
  constexpr int kBias = 7;
  constexpr int kMantissaBits = 3;
  const unsigned magnitude = value & kAllBits;
  if (magnitude == kAllBits) return std::numeric_limits<float>::quiet_NaN();
  const auto exponent = static_cast<int>(magnitude >> 3U);
  const auto mantissa = static_cast<float>(magnitude & 7U);
  const float positive = exponent == 0
                             ? std::ldexp(mantissa, 1 - kBias - kMantissaBits)
                             : std::ldexp(mantissa + 8.0F, exponent - kBias - kMantissaBits);
  return (value & 0x80U) != 0 ? -positive : positive;
}

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
    case NumberFormat::i8:
      read_as<std::int8_t>(range_, first, out, file(),
                           [](std::int8_t value) { return static_cast<float>(value); });
      return;
    case NumberFormat::f8_e4m3:
      read_as<std::uint8_t>(range_, first, out, file(), f8_e4m3_to_fp32);
      return;
    case NumberFormat::f8_e5m2:
      read_as<std::uint8_t>(range_, first, out, file(), [](std::uint8_t value) {
        return fp16_to_fp32(static_cast<std::uint16_t>(value << 8U));
      });
      return;
    case NumberFormat::integer:
      break;
  }
  throw InternalError(file() + ": tensor " + name() + " of integers was read as a parameter");
}

void FileTensor::read_bytes(std::uint64_t first, std::span<std::byte> out) const {
  read_exactly(*range_.file, range_.offset + first, out, file());
}

}  // namespace gridmill::convert_detail
