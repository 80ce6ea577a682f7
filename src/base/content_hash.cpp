#include "gridmill/base/content_hash.hpp"

#include <xxhash.h>

#include <algorithm>
#include <new>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

struct ContentHash::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    if (xxh == nullptr) throw std::bad_alloc();
    XXH3_128bits_reset(xxh);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { XXH3_freeState(xxh); }
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) {}
ContentHash::~ContentHash() = default;
ContentHash::ContentHash(ContentHash&&) noexcept = default;
ContentHash& ContentHash::operator=(ContentHash&&) noexcept = default;

void ContentHash::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

void ContentHash::update(const std::string& text) { update(std::as_bytes(std::span(text))); }

std::string ContentHash::hex() const {
  const XXH128_hash_t digest = XXH3_128bits_digest(state_->xxh);
  return fmt::format("xxh3-128:{:016x}{:016x}", digest.high64, digest.low64);
}

std::string content_hash_of_file(const std::string& path) {
  const FileDescriptor file = open_for_reading(path);
  const std::uint64_t size = file_size(file, path);
  constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
  std::vector<std::byte> chunk(
      static_cast<std::size_t>(std::min<std::uint64_t>(size, kChunkBytes)));
  ContentHash hash;
  for (std::uint64_t offset = 0; offset < size; offset += kChunkBytes) {
    const auto bytes = std::span(chunk).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(size - offset, kChunkBytes)));
    read_exactly(file, offset, bytes, path);
    hash.update(bytes);
  }
  return hash.hex();
}

}  // namespace gridmill
