#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/compression/compression.hpp"

namespace gridmill {

/// Where unpacking can begin: the start of a gzip member or a zstd frame. Trivially copyable.
struct UnpackStart {
  std::uint64_t packed = 0;    ///< byte of the file
  std::uint64_t unpacked = 0;  ///< byte of its content

  friend bool operator==(const UnpackStart&, const UnpackStart&) = default;
};

/// Unpacks a file in a stream: several gzip members or zstd frames count as one. Takes 1 MiB and
/// the window of the archive, 128 MiB at most. Local; one thread at a time.
class Unpacker {
 public:
  /// Gets the bytes of the file as they are read.
  using Observer = std::function<void(std::span<const std::byte>)>;

  /// @param file  must outlive this. @param kind  gzip or zstd.
  Unpacker(const FileDescriptor& file, std::string path, Compression kind, UnpackStart start = {},
           Observer observer = {});
  ~Unpacker();
  Unpacker(Unpacker&&) noexcept;
  Unpacker& operator=(Unpacker&&) noexcept;

  /// The next bytes of the content.
  /// @return how many; fewer than bytes.size() only at the end of the file, which is then whole.
  /// @throws FormatError if the file is damaged, cut short, or needs a larger window.
  [[nodiscard]] std::size_t read(std::span<std::byte> bytes);
  /// Bytes of the content in front of the next one.
  [[nodiscard]] std::uint64_t position() const;
  /// The last start of a member or frame that read() has reached.
  [[nodiscard]] UnpackStart last_start() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gridmill
