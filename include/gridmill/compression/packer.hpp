#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "gridmill/compression/compression.hpp"

namespace gridmill {

/// Packs a stream: gzip (level 6) or one zstd frame (level 3, with a checksum). The bytes depend on
/// the content and the version of the library; no time and no name is in them.
class Packer {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;

  /// @param kind  gzip or zstd. @param sink  gets the packed bytes as they come.
  Packer(Compression kind, Sink sink);
  ~Packer();
  Packer(Packer&&) noexcept;
  Packer& operator=(Packer&&) noexcept;

  void write(std::string_view text);
  /// Ends the archive. Nothing may be written afterwards.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gridmill
