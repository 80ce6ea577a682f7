#pragma once

#include <cstdint>
#include <string>

#include "gridmill/base/json.hpp"

namespace gridmill::tokenizer_detail {

/// Where a `Metaspace` component puts a mark in front of text.
enum class PrependScheme : std::uint8_t {
  always,  ///< every stretch between added tokens
  first,   ///< only the stretch at the start of the text
  never,
};

/// The fields of a `Metaspace` component, pre-tokenizer or decoder.
struct Metaspace {
  std::string mark;  ///< one character that stands for a space, mostly U+2581
  PrependScheme prepend = PrependScheme::always;
  bool split = true;  ///< a piece begins at every mark; else the stretch is one piece
};

/// Reads the spellings of old and new files: `add_prefix_space` false is `prepend_scheme` "never".
/// @throws FormatError
[[nodiscard]] Metaspace read_metaspace(const Json& component, const std::string& where);

}  // namespace gridmill::tokenizer_detail
