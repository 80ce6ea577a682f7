#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace gridmill::tokenizer_detail {

/// One field of a Protocol Buffers message.
struct WireField {
  std::uint64_t number = 0;
  enum class Type { varint, fixed64, bytes, fixed32 } type = Type::varint;
  std::uint64_t value = 0;  ///< of varint, fixed64, fixed32
  std::string_view bytes;   ///< of bytes: text or a nested message
};

/// Reads the fields of a message one by one, each access checked against the end.
class WireReader {
 public:
  WireReader(std::string_view message, std::string where)
      : rest_(message), where_(std::move(where)) {}

  /// The next field; nothing at the end. @throws FormatError if the message is cut or ill-formed.
  [[nodiscard]] std::optional<WireField> next();

  // The value of `field`. @throws FormatError if it is of another wire type.
  [[nodiscard]] std::int64_t integer(const WireField& field) const;
  [[nodiscard]] bool flag(const WireField& field) const { return integer(field) != 0; }
  [[nodiscard]] float real(const WireField& field) const;
  [[nodiscard]] std::string_view bytes(const WireField& field) const;

 private:
  std::string_view rest_;
  std::string where_;

  [[nodiscard]] std::uint64_t take_varint();
  [[nodiscard]] std::uint64_t take_fixed(std::size_t size);
  void expect(const WireField& field, WireField::Type type) const;
};

}  // namespace gridmill::tokenizer_detail
