#include "gridmill/prompts/line_starts.hpp"

#include <algorithm>

#include "gridmill/base/error.hpp"

namespace gridmill {

std::uint64_t LineStarts::at(std::size_t i) const {
  if (i >= size_) throw InternalError("a line behind the last one was asked for");
  return (*this)[i];
}

void LineStarts::push_back(std::uint64_t start) {
  if (size_ % kBlock == 0) {
    blocks_.emplace_back();
    // A short file takes a short block.
    if (size_ > 0) blocks_.back().reserve(kBlock);
  }
  blocks_.back().push_back(start);
  ++size_;
}

void LineStarts::pop_back() {
  blocks_.back().pop_back();
  if (blocks_.back().empty()) blocks_.pop_back();
  --size_;
}

void LineStarts::trim() {
  if (!blocks_.empty()) blocks_.back().shrink_to_fit();
}

void LineStarts::assign_zeros(std::size_t size) {
  blocks_.clear();
  size_ = size;
  for (std::size_t at = 0; at < size; at += kBlock) {
    blocks_.emplace_back(std::min(kBlock, size - at), std::uint64_t{0});
  }
}

}  // namespace gridmill
