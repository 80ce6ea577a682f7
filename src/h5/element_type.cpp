#include "gridmill/h5/element_type.hpp"

#include <array>
#include <bit>
#include <cstddef>

#include "element_type_detail.hpp"
#include "gridmill/base/row_record.hpp"
#include "library_detail.hpp"

namespace gridmill::h5 {

static_assert(std::endian::native == std::endian::little, "files are little-endian, as we are");

namespace {

/// Layout of a 16-bit float with the sign in bit 15 and the mantissa at bit 0.
struct SmallFloat {
  std::size_t exponent_at, exponent_bits, mantissa_bits, bias;
};
constexpr SmallFloat kFp16 = {10, 5, 10, 15};
constexpr SmallFloat kBf16 = {7, 8, 7, 127};

Handle copy_type(hid_t id) {
  return detail::own<InternalError>(H5Tcopy(id), H5Tclose, "copying a type", "HDF5");
}

Handle small_float(const SmallFloat& format) {
  Handle type = copy_type(H5T_IEEE_F32LE);
  // Fields first: they have to lie inside the size, which shrinks last.
  const auto check = [](herr_t result) {
    detail::check<InternalError>(result, "making a 16-bit float", "HDF5");
  };
  check(H5Tset_fields(type.id(), 15, format.exponent_at, format.exponent_bits, 0,
                      format.mantissa_bits));
  check(H5Tset_size(type.id(), 2));
  check(H5Tset_ebias(type.id(), format.bias));
  return type;
}

bool is_small_float(hid_t id, const SmallFloat& format) {
  std::size_t sign = 0;
  std::size_t exponent_at = 0;
  std::size_t exponent_bits = 0;
  std::size_t mantissa_at = 0;
  std::size_t mantissa_bits = 0;
  return H5Tget_fields(id, &sign, &exponent_at, &exponent_bits, &mantissa_at, &mantissa_bits) >=
             0 &&
         sign == 15 && exponent_at == format.exponent_at && exponent_bits == format.exponent_bits &&
         mantissa_at == 0 && mantissa_bits == format.mantissa_bits &&
         H5Tget_ebias(id) == format.bias;
}

Handle text_type(std::size_t size_bytes) {
  Handle type = copy_type(H5T_C_S1);
  detail::check<InternalError>(H5Tset_size(type.id(), size_bytes), "sizing a text", "HDF5");
  detail::check<InternalError>(H5Tset_cset(type.id(), H5T_CSET_UTF8), "choosing UTF-8", "HDF5");
  if (size_bytes != H5T_VARIABLE) {
    // Padded, not terminated: a text may fill all its bytes.
    detail::check<InternalError>(H5Tset_strpad(type.id(), H5T_STR_NULLPAD), "padding a text",
                                 "HDF5");
  }
  return type;
}

Handle boolean_type() {
  Handle type = detail::own<InternalError>(H5Tenum_create(H5T_STD_I8LE), H5Tclose,
                                           "making a bool type", "HDF5");
  for (const auto& [name, value] : {std::pair{"FALSE", std::int8_t{0}}, {"TRUE", std::int8_t{1}}}) {
    detail::check<InternalError>(H5Tenum_insert(type.id(), name, &value), "making a bool type",
                                 "HDF5");
  }
  return type;
}

/// @param version  of the result file's format.
Handle row_record_type(int version) {
  Handle type = detail::own<InternalError>(H5Tcreate(H5T_COMPOUND, sizeof(RowRecord)), H5Tclose,
                                           "making the type of rows", "HDF5");
  const auto insert = [&](const char* name, std::size_t offset, hid_t field) {
    detail::check<InternalError>(H5Tinsert(type.id(), name, offset, field),
                                 "making the type of rows", "HDF5");
  };
  insert("status", offsetof(RowRecord, status), H5T_STD_U16LE);
  insert("finish_reason", offsetof(RowRecord, finish_reason), H5T_STD_U16LE);
  insert("prompt_index", offsetof(RowRecord, prompt_index), H5T_STD_U32LE);
  insert("sample_index", offsetof(RowRecord, sample_index), H5T_STD_U32LE);
  insert("prefix_length", offsetof(RowRecord, prefix_length), H5T_STD_U32LE);
  insert("length", offsetof(RowRecord, length), H5T_STD_U32LE);
  if (version == 1) {
    insert("reserved", offsetof(RowRecord, stop_index), H5T_STD_U32LE);
  } else {
    insert("stop_index", offsetof(RowRecord, stop_index), H5T_STD_U16LE);
    insert("flags", offsetof(RowRecord, flags), H5T_STD_U16LE);
  }
  insert("payload_crc", offsetof(RowRecord, payload_crc), H5T_STD_U32LE);
  insert("row_crc", offsetof(RowRecord, row_crc), H5T_STD_U32LE);
  return type;
}

bool is_boolean(hid_t id) {
  if (H5Tget_size(id) != 1 || H5Tget_nmembers(id) != 2) return false;
  std::int8_t no = -1;
  std::int8_t yes = -1;
  return H5Tenum_valueof(id, "FALSE", &no) >= 0 && H5Tenum_valueof(id, "TRUE", &yes) >= 0 &&
         no == 0 && yes == 1;
}

Kind integer_kind(bool is_signed, std::size_t size) {
  switch (size) {
    case 1:
      return is_signed ? Kind::i8 : Kind::u8;
    case 2:
      return is_signed ? Kind::i16 : Kind::u16;
    case 4:
      return is_signed ? Kind::i32 : Kind::u32;
    case 8:
      return is_signed ? Kind::i64 : Kind::u64;
    default:
      return Kind::other;
  }
}

Kind kind_of(hid_t id) {
  const std::size_t size = H5Tget_size(id);
  switch (H5Tget_class(id)) {
    case H5T_INTEGER:
      return integer_kind(H5Tget_sign(id) == H5T_SGN_2, size);
    case H5T_FLOAT:
      if (size == 4) return Kind::fp32;
      if (size == 8) return Kind::fp64;
      if (size == 2 && is_small_float(id, kFp16)) return Kind::fp16;
      if (size == 2 && is_small_float(id, kBf16)) return Kind::bf16;
      return Kind::other;
    case H5T_STRING:
      return H5Tis_variable_str(id) > 0 ? Kind::variable_text : Kind::fixed_text;
    case H5T_ENUM:
      return is_boolean(id) ? Kind::boolean : Kind::other;
    case H5T_COMPOUND:
      if (H5Tequal(id, row_record_type(1).id()) > 0) return Kind::row_record;
      return H5Tequal(id, row_record_type(2).id()) > 0 ? Kind::row_record_2 : Kind::other;
    default:
      return Kind::other;
  }
}

}  // namespace

ElementType ElementType::of(Kind kind) {
  constexpr std::array<std::size_t, 18> kSizes = {2, 2, 4, 8, 1, 1, 2,  2,  4,
                                                  4, 8, 8, 1, 0, 0, 32, 32, 0};
  static_assert(static_cast<std::size_t>(Kind::other) + 1 == kSizes.size());
  return {kind, kSizes.at(static_cast<std::size_t>(kind))};
}

std::string name_of(const ElementType& type) {
  constexpr std::array<const char*, 18> kNames = {"float16",
                                                  "bfloat16",
                                                  "float32",
                                                  "float64",
                                                  "int8",
                                                  "uint8",
                                                  "int16",
                                                  "uint16",
                                                  "int32",
                                                  "uint32",
                                                  "int64",
                                                  "uint64",
                                                  "bool",
                                                  "text",
                                                  "text of any length",
                                                  "row record",
                                                  "row record of version 2",
                                                  "another type"};
  static_assert(static_cast<std::size_t>(Kind::other) + 1 == kNames.size());
  if (type.kind == Kind::fixed_text) return fmt::format("text of {} bytes", type.size_bytes);
  return kNames.at(static_cast<std::size_t>(type.kind));
}

namespace detail {

Handle make_type(const ElementType& type) {
  switch (type.kind) {
    case Kind::fp16:
      return small_float(kFp16);
    case Kind::bf16:
      return small_float(kBf16);
    case Kind::fp32:
      return copy_type(H5T_IEEE_F32LE);
    case Kind::fp64:
      return copy_type(H5T_IEEE_F64LE);
    case Kind::i8:
      return copy_type(H5T_STD_I8LE);
    case Kind::u8:
      return copy_type(H5T_STD_U8LE);
    case Kind::i16:
      return copy_type(H5T_STD_I16LE);
    case Kind::u16:
      return copy_type(H5T_STD_U16LE);
    case Kind::i32:
      return copy_type(H5T_STD_I32LE);
    case Kind::u32:
      return copy_type(H5T_STD_U32LE);
    case Kind::i64:
      return copy_type(H5T_STD_I64LE);
    case Kind::u64:
      return copy_type(H5T_STD_U64LE);
    case Kind::boolean:
      return boolean_type();
    case Kind::fixed_text:
      if (type.size_bytes == 0) throw InternalError("a text type needs at least one byte");
      return text_type(type.size_bytes);
    case Kind::variable_text:
      return text_type(H5T_VARIABLE);
    case Kind::row_record:
      return row_record_type(1);
    case Kind::row_record_2:
      return row_record_type(2);
    case Kind::other:
      break;
  }
  throw InternalError("no HDF5 type can be made for an unknown element type");
}

Recognised recognise(std::int64_t id) {
  const Kind kind = kind_of(id);
  Recognised found{ElementType::of(kind), false};
  if (kind == Kind::fixed_text) {
    found.type.size_bytes = H5Tget_size(id);
    found.as_stored = true;  // bytes are bytes, however they are padded
  } else if (kind != Kind::other && kind != Kind::variable_text) {
    found.as_stored = H5Tequal(id, make_type(found.type).id()) > 0;
  }
  return found;
}

}  // namespace detail

}  // namespace gridmill::h5
