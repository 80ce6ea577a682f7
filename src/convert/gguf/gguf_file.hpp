#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "convert/foreign_tensor_detail.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"

// The container GGUF. Source: docs/gguf.md of ggml.
namespace gridmill::convert_detail {

/// One tensor of a GGUF file, checked: its bytes lie inside the file.
struct GgufEntry {
  std::string name;
  Extents shape = {};        ///< the slowest axis first: the file has them the other way round
  std::uint32_t type = 0;    ///< see gguf_blocks.hpp
  std::uint64_t offset = 0;  ///< of its bytes in the file
};

/// A GGUF file, versions 2 and 3, little-endian.
struct GgufFile {
  std::string path;
  std::shared_ptr<const FileDescriptor> file;
  /// Keys and values; arrays are lists. A text may be ill-formed UTF-8.
  Json metadata = Json::object();
  std::vector<GgufEntry> tensors = {};
};

/// The shortest decimal that reads as `value`, in double: 1e-5 was meant, and not 9.99999974e-06.
[[nodiscard]] double shortest_decimal(float value);

/// Bytes that a GGUF file begins with.
inline constexpr std::string_view kGgufMagic = "GGUF";

/// Reads all of the header. Every count and length is checked against the size of the file before
/// memory is taken for it. Linear time.
/// @throws MissingInputError; FormatError naming the key or tensor, with the word `unsupported` for
///         a version, a type of values or a type of tensors that is not read.
[[nodiscard]] GgufFile read_gguf_file(const std::string& path);

}  // namespace gridmill::convert_detail
