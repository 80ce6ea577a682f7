#include <algorithm>
#include <cstring>

#include "checkpoint/unit_pieces_detail.hpp"

namespace gridmill::checkpoint_detail {

namespace {

/// Gathers items into pieces, place by place in ascending order.
class Cutter {
 public:
  explicit Cutter(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  void add(PieceItems of, const Place& place, std::size_t shard) {
    IndexRange left = place.items[shard];
    std::size_t at = place.offsets[shard];
    while (left.count > 0) {
      const std::size_t room = pieces_.empty() ? 0 : room_at(at);
      auto count = static_cast<std::int64_t>(room / place.item_bytes);
      if (count == 0) {
        pieces_.push_back({.begin = at, .bytes = 0, .items = {}});
        count =
            std::max<std::int64_t>(1, static_cast<std::int64_t>(most_bytes_ / place.item_bytes));
      }
      count = std::min(count, left.count);
      UnitPiece& piece = pieces_.back();
      of.items = {left.first, count};
      of.at = at - piece.begin;
      of.bytes = static_cast<std::size_t>(count) * place.item_bytes;
      piece.items.push_back(of);
      piece.bytes = of.at + of.bytes;
      at += of.bytes;
      left.first += count;
      left.count -= count;
    }
  }

  [[nodiscard]] std::vector<UnitPiece> take() { return std::move(pieces_); }

 private:
  /// Bytes that the last piece can take from `at` on.
  [[nodiscard]] std::size_t room_at(std::size_t at) const {
    const std::size_t used = at - pieces_.back().begin;
    return used < most_bytes_ ? most_bytes_ - used : 0;
  }

  std::size_t most_bytes_;
  std::vector<UnitPiece> pieces_;
};

}  // namespace

std::vector<UnitPiece> cut_unit(const UnitSpec& unit, const UnitLayout& layout, int own,
                                UnitPart part, std::size_t most_bytes) {
  Cutter cutter(most_bytes);
  const auto add = [&](const PieceItems& of, const Place& place) {
    if (place.gathered != (part == UnitPart::block)) return;
    cutter.add(of, place, place.split ? static_cast<std::size_t>(own) : 0);
  };
  for (std::size_t index = 0; index < unit.matrices.size(); ++index) {
    add({.matrix = &unit.matrices[index]}, layout.matrices[index]);
  }
  for (std::size_t index = 0; index < unit.vectors.size(); ++index) {
    add({.vector = &unit.vectors[index]}, layout.vectors[index]);
  }
  return cutter.take();
}

void pack_piece(Packer& packer, const UnitPiece& piece, std::span<std::byte> target, int threads) {
  std::size_t packed = 0;
  for (const PieceItems& part : piece.items) {
    std::memset(target.data() + packed, 0, part.at - packed);
    packed = part.at + part.bytes;
    if (part.matrix != nullptr) {
      packer.add(*part.matrix, part.items, target.data() + part.at);
    } else {
      packer.add(*part.vector, part.items, target.data() + part.at);
    }
  }
  packer.run(threads);
}

}  // namespace gridmill::checkpoint_detail
