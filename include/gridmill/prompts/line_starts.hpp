#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace gridmill {

/// Where the lines of a file begin, 8 bytes each. Grows in blocks of 8 MiB, so that growing copies
/// nothing and a file of 10 million lines takes 80 MB, not more for a moment.
class LineStarts {
 public:
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::uint64_t operator[](std::size_t i) const {
    return blocks_[i / kBlock][i % kBlock];
  }
  /// @throws InternalError unless i < size().
  [[nodiscard]] std::uint64_t at(std::size_t i) const;
  [[nodiscard]] std::uint64_t back() const { return (*this)[size_ - 1]; }
  void push_back(std::uint64_t start);
  void pop_back();
  /// Gives back what the last block has beyond size().
  void trim();
  /// `size` zeros, to be filled through block().
  void assign_zeros(std::size_t size);
  [[nodiscard]] std::size_t blocks() const { return blocks_.size(); }
  [[nodiscard]] std::span<std::uint64_t> block(std::size_t i) { return blocks_[i]; }
  [[nodiscard]] std::span<const std::uint64_t> block(std::size_t i) const { return blocks_[i]; }

  friend bool operator==(const LineStarts&, const LineStarts&) = default;

 private:
  static constexpr std::size_t kBlock = std::size_t{1} << 20;
  std::vector<std::vector<std::uint64_t>> blocks_;  ///< all full but the last
  std::size_t size_ = 0;
};

}  // namespace gridmill
