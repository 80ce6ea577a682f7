#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/parallel.hpp"
#include "job/first_touch_detail.hpp"

namespace gridmill::job_detail {

namespace {

constexpr std::uint64_t kPieceBytes = std::uint64_t{4} << 20;

/// Bytes [first, last) of the file to the same place of `memory`, or over and over to its start.
void copy_range(const FileDescriptor& file, const std::string& path, std::uint64_t first,
                std::uint64_t last, std::byte* memory, bool keep) {
  while (first < last) {
    const std::uint64_t count = std::min(kPieceBytes, last - first);
    read_exactly(file, first, {memory + (keep ? first : 0), count}, path);
    first += count;
  }
}

}  // namespace

double first_touch_copy_seconds(const std::string& path, Backend& backend, int threads) {
  const FileDescriptor file = open_for_reading(path);
  const std::uint64_t size = file_size(file, path);
  std::vector<std::byte> piece(kPieceBytes);
  copy_range(file, path, 0, size, piece.data(), false);

  const auto start = SteadyClock::now();
  const Buffer memory = backend.allocate(size);
  const auto parts = static_cast<std::uint64_t>(threads);
  run_parallel(threads, parts, [&](std::size_t index) {
    copy_range(file, path, size / parts * index,
               index + 1 == parts ? size : size / parts * (index + 1), memory.data(), true);
  });
  const double seconds = seconds_since(start);
  return seconds;
}

}  // namespace gridmill::job_detail
