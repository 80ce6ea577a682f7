#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gridmill::h5 {

/// Kind of an element of a dataset.
enum class Kind : std::uint8_t {
  fp16,
  bf16,  ///< 16-bit HDF5 float: sign 1, exponent 8 (bias 127), mantissa 7; h5py reads it as float32
  fp32,
  fp64,
  i8,
  u8,
  i16,
  u16,
  i32,
  u32,
  i64,
  u64,
  boolean,        ///< h5py's bool: an enum {FALSE, TRUE} of one byte
  fixed_text,     ///< UTF-8, padded with 0 bytes
  variable_text,  ///< strings of any length; not addressable as bytes
  row_record,     ///< compound of base's RowRecord, 32 bytes, `reserved` for its last two fields
  row_record_2,   ///< the same with `stop_index` and `flags`
  other,          ///< anything else; can be listed, not read
};

/// Kind and size of an element.
struct ElementType {
  Kind kind = Kind::other;
  std::size_t size_bytes = 0;

  [[nodiscard]] static ElementType of(Kind kind);
  [[nodiscard]] static ElementType fixed_text(std::size_t size_bytes) {
    return {Kind::fixed_text, size_bytes};
  }
  friend bool operator==(const ElementType&, const ElementType&) = default;
};

/// For messages: "int32", "bfloat16", "text of 256 bytes", ...
[[nodiscard]] std::string name_of(const ElementType& type);

template <typename T>
struct KindOf;
template <>
struct KindOf<float> {
  static constexpr Kind value = Kind::fp32;
};
template <>
struct KindOf<double> {
  static constexpr Kind value = Kind::fp64;
};
template <>
struct KindOf<std::uint8_t> {
  static constexpr Kind value = Kind::u8;
};
template <>
struct KindOf<std::uint16_t> {
  static constexpr Kind value = Kind::u16;
};
template <>
struct KindOf<std::int32_t> {
  static constexpr Kind value = Kind::i32;
};
template <>
struct KindOf<std::uint32_t> {
  static constexpr Kind value = Kind::u32;
};
template <>
struct KindOf<std::int64_t> {
  static constexpr Kind value = Kind::i64;
};
template <>
struct KindOf<std::uint64_t> {
  static constexpr Kind value = Kind::u64;
};

}  // namespace gridmill::h5
