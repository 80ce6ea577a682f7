#include <charconv>

#include "gridmill/base/format.hpp"
#include "tokenizer/text_encoder_detail.hpp"

namespace gridmill::tokenizer_detail {

std::string byte_token_name(unsigned byte) { return fmt::format("<0x{:02X}>", byte); }

std::optional<char> byte_of_token_name(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  unsigned byte = 0;
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, byte, 16);
  if (error != std::errc{} || end != token.data() + 5) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace gridmill::tokenizer_detail
