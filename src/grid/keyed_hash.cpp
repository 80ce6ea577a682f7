#include "grid/keyed_hash.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::detail {

Secret random_secret() {
  Secret secret{};
  // Up to 256 bytes come whole or not at all; a signal may interrupt the wait for the first entropy
  // after a boot.
  ssize_t got = -1;
  do {
    got = ::getrandom(secret.data(), secret.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(secret.size())) {
    throw SystemError(fmt::format("the kernel gives no random bytes (getrandom: {})",
                                  std::strerror(errno)));  // NOLINT(concurrency-mt-unsafe)
  }
  return secret;
}

KeyedHash keyed_hash(const Secret& key, std::span<const std::byte> text) {
  KeyedHash hash{};
  unsigned int length = 0;
  const unsigned char* const made =
      ::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()),
             reinterpret_cast<const unsigned char*>(text.data()), text.size(),
             reinterpret_cast<unsigned char*>(hash.data()), &length);
  if (made == nullptr || length != hash.size()) {
    throw SystemError("libcrypto cannot compute HMAC-SHA-256 on this system");
  }
  return hash;
}

bool equal_in_constant_time(const KeyedHash& a, const KeyedHash& b) {
  return ::CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace gridmill::detail
