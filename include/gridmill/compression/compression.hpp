#pragma once

#include <cstdint>
#include <string_view>

namespace gridmill {

/// How the bytes of a file are packed; the end of its name says so.
enum class Compression : std::uint8_t { none, gzip, zstd };

/// `.gz` and `.zst`; any other name is not packed.
[[nodiscard]] Compression compression_of(std::string_view path);
/// `path` without that ending.
[[nodiscard]] std::string_view without_compression(std::string_view path);

}  // namespace gridmill
