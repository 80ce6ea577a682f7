#include <bit>
#include <cstddef>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "tokenizer/wire_format_detail.hpp"

namespace gridmill::tokenizer_detail {

std::uint64_t WireReader::take_varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) throw FormatError(where_ + ": the message ends inside a number");
    const auto byte = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  throw FormatError(where_ + ": a number of more than ten bytes");
}

std::uint64_t WireReader::take_fixed(std::size_t size) {
  if (rest_.size() < size) throw FormatError(where_ + ": the message ends inside a number");
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value |= std::uint64_t{static_cast<std::uint8_t>(rest_[i])} << (8 * i);
  }
  rest_.remove_prefix(size);
  return value;
}

std::optional<WireField> WireReader::next() {
  if (rest_.empty()) return std::nullopt;
  const std::uint64_t tag = take_varint();
  WireField field;
  field.number = tag >> 3;
  if (field.number == 0)
    throw FormatError(where_ + ": field number 0; is this a SentencePiece model?");
  switch (tag & 7) {
    case 0:
      field.type = WireField::Type::varint;
      field.value = take_varint();
      break;
    case 1:
      field.type = WireField::Type::fixed64;
      field.value = take_fixed(8);
      break;
    case 2: {
      field.type = WireField::Type::bytes;
      const std::uint64_t size = take_varint();
      if (size > rest_.size()) {
        throw FormatError(fmt::format("{}: field {} has {} bytes, only {} are left", where_,
                                      field.number, size, rest_.size()));
      }
      field.bytes = rest_.substr(0, static_cast<std::size_t>(size));
      rest_.remove_prefix(static_cast<std::size_t>(size));
      break;
    }
    case 5:
      field.type = WireField::Type::fixed32;
      field.value = take_fixed(4);
      break;
    default:
      throw FormatError(fmt::format("{}: field {} has wire type {}; is this a SentencePiece model?",
                                    where_, field.number, tag & 7));
  }
  return field;
}

void WireReader::expect(const WireField& field, WireField::Type type) const {
  if (field.type != type) {
    throw FormatError(fmt::format("{}: field {} is of another type", where_, field.number));
  }
}

std::int64_t WireReader::integer(const WireField& field) const {
  expect(field, WireField::Type::varint);
  return static_cast<std::int64_t>(field.value);
}

float WireReader::real(const WireField& field) const {
  expect(field, WireField::Type::fixed32);
  return std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
}

std::string_view WireReader::bytes(const WireField& field) const {
  expect(field, WireField::Type::bytes);
  return field.bytes;
}

}  // namespace gridmill::tokenizer_detail
