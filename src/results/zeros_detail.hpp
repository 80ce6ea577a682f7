#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "gridmill/results/row_file.hpp"

namespace gridmill::detail {

/// Calls visit(offset, bytes) for pieces of [begin, begin + size) that are not all zero; holes are
/// skipped. Stops when visit returns false.
template <typename Visit>
void visit_nonzero(const RowFile& file, std::uint64_t begin, std::uint64_t size, Visit&& visit) {
  std::array<std::byte, 4096> buffer;
  const std::uint64_t end = begin + size;
  for (std::uint64_t at = begin; at < end;) {
    at = std::max(at, file.next_data(at));
    if (at >= end) return;
    const auto piece = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(end - at, buffer.size())));
    file.read(at, piece);
    const bool zero = std::all_of(piece.begin(), piece.end(),
                                  [](std::byte value) { return value == std::byte{}; });
    if (!zero && !visit(at, std::span<const std::byte>(piece))) return;
    at += piece.size();
  }
}

inline bool all_zero(const RowFile& file, std::uint64_t begin, std::uint64_t size) {
  bool zero = true;
  visit_nonzero(file, begin, size,
                [&](std::uint64_t, std::span<const std::byte>) { return zero = false; });
  return zero;
}

/// Writes zeros where [begin, begin + size) holds anything else; holes stay holes.
/// @return bytes written.
inline std::uint64_t write_zeros(RowFile& file, std::uint64_t begin, std::uint64_t size) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  std::uint64_t written = 0;
  visit_nonzero(file, begin, size, [&](std::uint64_t at, std::span<const std::byte> piece) {
    file.write(at, std::span(kZeros).first(piece.size()));
    written += piece.size();
    return true;
  });
  return written;
}

}  // namespace gridmill::detail
