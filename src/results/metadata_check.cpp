#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <span>

#include "gridmill/base/crc32c.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "metadata_check_detail.hpp"
#include "row_slots_detail.hpp"

namespace gridmill::detail {

namespace {

/// Second half of the first page: the superblock (96 bytes) has that page for itself, since all
/// else is aligned to pages.
constexpr std::uint64_t kBlockAt = 2048;

constexpr std::size_t kMostExtents = 8;

/// As stored, little-endian.
struct CheckBlock {
  std::array<char, 16> magic{};
  std::uint64_t file_bytes = 0;
  std::uint32_t metadata_crc = 0;  ///< of all bytes but the extents and this block
  std::uint32_t extents = 0;
  std::array<Extent, kMostExtents> extent{};
  std::uint32_t more_crc = 0;   ///< of the extents behind this block, if there are more; else 0
  std::uint32_t block_crc = 0;  ///< of the bytes before

  friend bool operator==(const CheckBlock&, const CheckBlock&) = default;
};
static_assert(sizeof(CheckBlock) == 16 + 8 + 4 + 4 + kMostExtents * 16 + 8);

/// Those of a score file may be more than the block has room for: the others follow it.
constexpr std::size_t kMoreExtents = 8;
struct WholeBlock {
  CheckBlock head;
  std::array<Extent, kMoreExtents> more{};

  [[nodiscard]] std::vector<Extent> extents() const {
    std::vector<Extent> all(head.extent.begin(), head.extent.end());
    all.insert(all.end(), more.begin(), more.end());
    all.resize(head.extents);
    return all;
  }
  friend bool operator==(const WholeBlock&, const WholeBlock&) = default;
};
constexpr std::array<char, 16> kMagic = {'g', 'r', 'i', 'd', 'm', 'i', 'l', 'l',
                                         ' ', 'c', 'h', 'e', 'c', 'k', ' ', '1'};

std::uint32_t block_crc(const CheckBlock& block) {
  return crc32c(std::as_bytes(std::span(&block, 1)).first(offsetof(CheckBlock, block_crc)));
}

/// Calls visit(offset, bytes) for all bytes of `path` outside `skipped` (sorted), in pieces.
template <typename Visit>
void visit_outside(const FileDescriptor& file, const std::string& path, std::uint64_t size,
                   std::span<const Extent> skipped, Visit&& visit) {
  std::array<std::byte, 4096> buffer;
  std::uint64_t at = 0;
  const auto visit_until = [&](std::uint64_t end) {
    while (at < end) {
      const auto piece = std::span(buffer).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(end - at, buffer.size())));
      read_exactly(file, at, piece, path);
      visit(at, std::span<const std::byte>(piece));
      at += piece.size();
    }
  };
  for (const Extent& extent : skipped) {
    visit_until(extent.begin);
    at = std::max(at, extent.end);
  }
  visit_until(size);
}

/// crc32c of the file without `skipped` (sorted).
std::uint32_t crc_without(const FileDescriptor& file, const std::string& path, std::uint64_t size,
                          std::span<const Extent> skipped) {
  std::uint32_t crc = 0;
  visit_outside(file, path, size, skipped, [&crc](std::uint64_t, std::span<const std::byte> piece) {
    crc = crc32c(piece, crc);
  });
  return crc;
}

std::vector<Extent> with_block(std::span<const Extent> extents) {
  const std::size_t more = extents.size() > kMostExtents ? sizeof(WholeBlock::more) : 0;
  std::vector<Extent> all = {{kBlockAt, kBlockAt + sizeof(CheckBlock) + more}};
  all.insert(all.end(), extents.begin(), extents.end());
  return all;
}

/// The block, if it is whole and describes a file of this size.
std::optional<WholeBlock> read_block(const FileDescriptor& file, const std::string& path,
                                     std::uint64_t size) {
  WholeBlock block;
  CheckBlock& head = block.head;
  if (size < kBlockAt + sizeof(block)) return std::nullopt;
  read_exactly(file, kBlockAt, std::as_writable_bytes(std::span(&head, 1)), path);
  if (head.magic != kMagic || head.block_crc != block_crc(head) || head.file_bytes != size ||
      head.extents > kMostExtents + kMoreExtents) {
    return std::nullopt;
  }
  if (head.extents <= kMostExtents) return block;
  const auto more = std::as_writable_bytes(std::span(block.more));
  read_exactly(file, kBlockAt + sizeof(head), more, path);
  if (crc32c(more) != head.more_crc) return std::nullopt;
  return block;
}

}  // namespace

bool has_intact_metadata(const std::string& path) {
  const FileDescriptor file = open_for_reading(path);
  const std::uint64_t size = file_size(file, path);
  const std::optional<WholeBlock> block = read_block(file, path, size);
  return block &&
         block->head.metadata_crc == crc_without(file, path, size, with_block(block->extents()));
}

std::vector<Extent> data_extents(const ResultLayout& layout) {
  std::vector<Extent> extents;
  if (layout.shape.rows == 0) return extents;
  for (const RowSlot& slot : row_slots(layout)) {
    extents.push_back({slot.offset, slot.offset + layout.shape.rows * slot.row_bytes});
  }
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  return extents;
}

void write_metadata_check(const std::string& path, const ResultLayout& layout) {
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) {
    throw IoError(fmt::format("cannot open {}: {}", path, system_reason()));
  }
  const std::vector<Extent> extents = data_extents(layout);
  WholeBlock block;
  CheckBlock& head = block.head;
  std::vector<std::byte> before(with_block(extents).front().end - kBlockAt);
  read_exactly(file, kBlockAt, before, path);
  if (std::any_of(before.begin(), before.end(), [](std::byte b) { return b != std::byte{}; })) {
    throw InternalError("this version of HDF5 uses the place of the metadata checksum");
  }
  head.magic = kMagic;
  head.file_bytes = file_size(file, path);
  head.extents = static_cast<std::uint32_t>(extents.size());
  const auto own =
      extents.begin() + static_cast<std::ptrdiff_t>(std::min(extents.size(), kMostExtents));
  std::copy(extents.begin(), own, head.extent.begin());
  std::copy(own, extents.end(), block.more.begin());
  const auto more = std::as_bytes(std::span(block.more));
  if (extents.size() > kMostExtents) {
    head.more_crc = crc32c(more);
    write_exactly(file, kBlockAt + sizeof(head), more, path);
  }
  head.metadata_crc = crc_without(file, path, head.file_bytes, with_block(extents));
  head.block_crc = block_crc(head);
  write_exactly(file, kBlockAt, std::as_bytes(std::span(&head, 1)), path);
}

bool restore_metadata(const std::string& path, const std::string& fresh,
                      const ResultLayout& layout) {
  const FileDescriptor file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file.valid()) throw IoError(fmt::format("cannot open {}: {}", path, system_reason()));
  const FileDescriptor source = open_for_reading(fresh);
  const std::uint64_t size = file_size(source, fresh);
  if (file_size(file, path) != size) return false;
  const std::vector<Extent> data = data_extents(layout);
  const std::vector<Extent> skipped = with_block(data);
  const std::optional<WholeBlock> expected = read_block(source, fresh, size);
  const std::optional<WholeBlock> found = read_block(file, path, size);
  // An intact block says what the metadata were; without it they have to be right themselves.
  const bool was_the_same =
      expected && (found ? *found == *expected
                         : crc_without(file, path, size, skipped) == expected->head.metadata_crc);
  if (!was_the_same) return false;
  visit_outside(source, fresh, size, data, [&](std::uint64_t at, std::span<const std::byte> piece) {
    write_exactly(file, at, piece, path);
  });
  if (::fsync(file.get()) != 0) {
    throw IoError(fmt::format("syncing {} failed: {}", path, system_reason()));
  }
  return true;
}

}  // namespace gridmill::detail
