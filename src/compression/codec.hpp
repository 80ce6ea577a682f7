#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace gridmill::compression_detail {

struct Step {
  std::size_t taken = 0;  ///< bytes of the input
  std::size_t made = 0;   ///< bytes of the output
  bool ended = false;     ///< decoders: a member or frame is complete
};

/// Message of a decoder about bytes that it cannot unpack.
struct Damage {
  std::string what;
};

/// A gzip member or a zstd frame after the other.
class Decoder {
 public:
  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  virtual ~Decoder() = default;
  /// @throws Damage
  virtual Step step(std::span<const std::byte> in, std::span<std::byte> out) = 0;
};

class Encoder {
 public:
  Encoder() = default;
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;
  virtual ~Encoder() = default;
  /// @param last  nothing follows `in`. `ended` of the result: all is written.
  virtual Step step(std::span<const std::byte> in, std::span<std::byte> out, bool last) = 0;
};

[[nodiscard]] std::unique_ptr<Decoder> gzip_decoder();
[[nodiscard]] std::unique_ptr<Encoder> gzip_encoder();
[[nodiscard]] std::unique_ptr<Decoder> zstd_decoder();
[[nodiscard]] std::unique_ptr<Encoder> zstd_encoder();

}  // namespace gridmill::compression_detail
