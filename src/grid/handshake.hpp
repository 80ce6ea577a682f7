#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "grid/keyed_hash.hpp"

namespace gridmill::detail {

/// A rank as its peers name it. Trivially copyable; both ends run the same binary.
struct Introduction {
  std::int32_t rank = 0;
  char host[60] = {};  // NOLINT(modernize-avoid-c-arrays): travels as bytes
};

/// Two processes prove to each other that they know the job's secret, which never travels:
///
///   listener  -> connector  challenge   random bytes
///   connector -> listener   answer      random bytes, introduction, keyed hash of all so far
///   listener  -> connector  proof       introduction, keyed hash of all so far
///
/// Each hash also covers the name of its message, so neither end can send back a hash of the other.
/// No input and output here: bytes are arguments and results.
class AcceptingHandshake {
 public:
  /// @throws SystemError without random bytes.
  AcceptingHandshake(const Secret& secret, const Introduction& self);
  static constexpr std::size_t kAnswerBytes =
      kSecretBytes + sizeof(Introduction) + sizeof(KeyedHash);

  /// To be sent first.
  [[nodiscard]] std::span<const std::byte> challenge() const { return challenge_; }
  /// @param answer  kAnswerBytes bytes of the other end.
  /// @return the proof to be sent, if the other end knows the secret.
  [[nodiscard]] std::optional<std::vector<std::byte>> check(std::span<const std::byte> answer);
  /// After check() has returned a proof.
  [[nodiscard]] const Introduction& peer() const { return peer_; }

 private:
  Secret secret_;
  Introduction self_;
  Introduction peer_;
  Secret challenge_;
};

class ConnectingHandshake {
 public:
  /// @throws SystemError without random bytes.
  ConnectingHandshake(const Secret& secret, const Introduction& self);
  static constexpr std::size_t kChallengeBytes = kSecretBytes;
  static constexpr std::size_t kProofBytes = sizeof(Introduction) + sizeof(KeyedHash);

  /// @param challenge  kChallengeBytes bytes of the other end.
  /// @return the answer to be sent.
  [[nodiscard]] std::vector<std::byte> answer(std::span<const std::byte> challenge);
  /// @param proof  kProofBytes bytes of the other end.
  /// @return who that is, if it knows the secret.
  [[nodiscard]] std::optional<Introduction> check(std::span<const std::byte> proof) const;

 private:
  Secret secret_;
  Introduction self_;
  Secret own_challenge_;
  std::vector<std::byte> said_;
};

}  // namespace gridmill::detail
