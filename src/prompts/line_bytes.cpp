// Plain files and archives, read at any place.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/compression/unpacker.hpp"
#include "sources_detail.hpp"

namespace gridmill::detail {

namespace {

class PlainBytes final : public LineBytes {
 public:
  explicit PlainBytes(const std::string& path) : path_(path), file_(open_for_reading(path)) {}
  void read(std::uint64_t at, std::span<std::byte> bytes) override {
    read_exactly(file_, at, bytes, path_);
  }

 private:
  std::string path_;
  FileDescriptor file_;
};

/// Keeps what it unpacked last, so that a line can be read twice and neighbours in any order.
class ArchiveBytes final : public LineBytes {
 public:
  ArchiveBytes(const std::string& path, const PromptIndex& index)
      : path_(path),
        file_(open_for_reading(path)),
        compression_(index.compression),
        starts_(index.unpack_starts),
        most_kept_(static_cast<std::size_t>(2 * index.longest_line) + kChunkBytes) {
    if (starts_.empty()) starts_.push_back({});
    enter(starts_.front());
  }

  void read(std::uint64_t at, std::span<std::byte> bytes) override {
    if (bytes.empty()) return;
    const UnpackStart start = start_before(at);
    const bool behind = at < kept_from_;
    // Or so far ahead that what lies between need not be unpacked.
    if (behind || start.unpacked > kept_from_ + kept_.size()) enter(start);
    const std::uint64_t end = at + bytes.size();
    while (kept_from_ + kept_.size() < end) advance(std::min(at, kept_from_ + kept_.size()));
    std::memcpy(bytes.data(), kept_.data() + (at - kept_from_), bytes.size());
  }

 private:
  static constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

  [[nodiscard]] UnpackStart start_before(std::uint64_t at) const {
    const auto behind = std::upper_bound(
        starts_.begin(), starts_.end(), at,
        [](std::uint64_t place, const UnpackStart& start) { return place < start.unpacked; });
    return behind == starts_.begin() ? starts_.front() : *std::prev(behind);
  }
  void enter(UnpackStart start) {
    unpacker_.emplace(file_, path_, compression_, start);
    kept_from_ = start.unpacked;
    kept_.clear();
  }
  /// Unpacks the next chunk. @param needed  from here on everything is to be kept.
  void advance(std::uint64_t needed) {
    if (kept_.size() > most_kept_) {
      const std::uint64_t half = kept_from_ + kept_.size() - most_kept_ / 2;
      const std::uint64_t from = std::min(needed, half);
      kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(from - kept_from_));
      kept_from_ = from;
    }
    const std::size_t before = kept_.size();
    kept_.resize(before + kChunkBytes);
    const std::size_t got = unpacker_->read(std::span(kept_).subspan(before));
    kept_.resize(before + got);
    if (got == 0) {
      throw FormatError(fmt::format(
          "{} has fewer bytes of content than when the job looked at it first; prompts must not "
          "change while a job runs",
          path_));
    }
  }

  std::string path_;
  FileDescriptor file_;
  Compression compression_;
  std::vector<UnpackStart> starts_;
  std::size_t most_kept_;
  std::optional<Unpacker> unpacker_;
  std::vector<std::byte> kept_;  ///< content
  std::uint64_t kept_from_ = 0;  ///< its place
};

}  // namespace

std::unique_ptr<LineBytes> LineBytes::open(const std::string& path, const PromptIndex& index) {
  if (index.compression == Compression::none) return std::make_unique<PlainBytes>(path);
  return std::make_unique<ArchiveBytes>(path, index);
}

std::string beginning_of(const PromptSource& prompts, std::uint64_t most) {
  const PromptIndex& index = prompts.index();
  std::uint64_t size = index.size_bytes;
  if (index.compression != Compression::none) {
    // Empty lines behind the last object lie outside.
    size = index.line_starts.back();
  }
  std::string text(static_cast<std::size_t>(std::min(size, most)), '\0');
  LineBytes::open(prompts.path(), index)->read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace gridmill::detail
