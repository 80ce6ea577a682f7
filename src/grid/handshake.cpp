#include "grid/handshake.hpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <string_view>

#include "gridmill/base/check.hpp"

namespace gridmill::detail {

namespace {

constexpr std::string_view kAnswer = "gridmill side channel answer";
constexpr std::string_view kProof = "gridmill side channel proof";

std::vector<std::byte> joined(std::initializer_list<std::span<const std::byte>> parts) {
  std::size_t size = 0;
  for (const auto& part : parts) size += part.size();
  std::vector<std::byte> whole(size);
  auto place = whole.begin();
  for (const auto& part : parts) place = std::copy(part.begin(), part.end(), place);
  return whole;
}

std::span<const std::byte> bytes_of(const Introduction& introduction) {
  return std::as_bytes(std::span(&introduction, 1));
}

/// Hash of a message's name and of everything that was said up to it; all parts but the name have
/// fixed lengths.
KeyedHash hash_of(const Secret& secret, std::string_view name, std::span<const std::byte> said) {
  return keyed_hash(secret, joined({std::as_bytes(std::span(name)), said}));
}

bool proves(const Secret& secret, std::string_view name, std::span<const std::byte> said,
            std::span<const std::byte> stored) {
  KeyedHash claimed{};
  std::copy(stored.begin(), stored.end(), claimed.begin());
  return equal_in_constant_time(claimed, hash_of(secret, name, said));
}

Introduction introduction_at(std::span<const std::byte> bytes) {
  Introduction introduction;
  std::memcpy(&introduction, bytes.data(), sizeof(introduction));
  introduction.host[sizeof(introduction.host) - 1] = '\0';
  return introduction;
}

}  // namespace

AcceptingHandshake::AcceptingHandshake(const Secret& secret, const Introduction& self)
    : secret_(secret), self_(self), challenge_(random_secret()) {}

std::optional<std::vector<std::byte>> AcceptingHandshake::check(std::span<const std::byte> answer) {
  GRIDMILL_ASSERT(answer.size() == kAnswerBytes, "an answer of another size");
  const std::vector<std::byte> said =
      joined({challenge_, answer.first(kAnswerBytes - sizeof(KeyedHash))});
  if (!proves(secret_, kAnswer, said, answer.last(sizeof(KeyedHash)))) return std::nullopt;
  peer_ = introduction_at(answer.subspan(kSecretBytes, sizeof(Introduction)));
  return joined({bytes_of(self_), hash_of(secret_, kProof, joined({said, bytes_of(self_)}))});
}

ConnectingHandshake::ConnectingHandshake(const Secret& secret, const Introduction& self)
    : secret_(secret), self_(self), own_challenge_(random_secret()) {}

std::vector<std::byte> ConnectingHandshake::answer(std::span<const std::byte> challenge) {
  GRIDMILL_ASSERT(challenge.size() == kChallengeBytes, "a challenge of another size");
  said_ = joined({challenge, own_challenge_, bytes_of(self_)});
  return joined({own_challenge_, bytes_of(self_), hash_of(secret_, kAnswer, said_)});
}

std::optional<Introduction> ConnectingHandshake::check(std::span<const std::byte> proof) const {
  GRIDMILL_ASSERT(proof.size() == kProofBytes, "a proof of another size");
  const std::vector<std::byte> said = joined({said_, proof.first(sizeof(Introduction))});
  if (!proves(secret_, kProof, said, proof.last(sizeof(KeyedHash)))) return std::nullopt;
  return introduction_at(proof);
}

}  // namespace gridmill::detail
