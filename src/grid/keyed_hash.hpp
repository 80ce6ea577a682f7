#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace gridmill::detail {

constexpr std::size_t kSecretBytes = 32;
using Secret = std::array<std::byte, kSecretBytes>;
/// HMAC-SHA-256 (RFC 2104).
using KeyedHash = std::array<std::byte, 32>;

/// Unpredictable random bytes of the kernel. @throws SystemError
[[nodiscard]] Secret random_secret();

/// Proves knowledge of `key` for `text` without revealing it. @throws SystemError
[[nodiscard]] KeyedHash keyed_hash(const Secret& key, std::span<const std::byte> text);

/// Takes the same time wherever the first difference is.
[[nodiscard]] bool equal_in_constant_time(const KeyedHash& a, const KeyedHash& b);

}  // namespace gridmill::detail
