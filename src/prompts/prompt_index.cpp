#include "gridmill/prompts/prompt_index.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/ids.hpp"
#include "sources_detail.hpp"

namespace gridmill {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() > end.size() && text.ends_with(end);
}

/// A pipe or device would block or end differently on every rank.
void require_regular_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    throw MissingInputError(fmt::format(
        "cannot read prompts from {}: it is no regular file; write them into a file first", path));
  }
}

/// Empty lines behind the last object of a .jsonl file are no prompts: many writers end with one.
/// @param last_used    behind the last byte that is no blank and no line end.
/// @param line_starts  with the end of the last line.
void drop_empty_end(std::uint64_t last_used, std::vector<std::uint64_t>& line_starts) {
  if (last_used == 0) return;  // nothing but empty lines
  while (line_starts.size() > 1 && line_starts[line_starts.size() - 2] >= last_used) {
    line_starts.pop_back();
  }
}

void index_lines(const FileDescriptor& file, const std::string& path, PromptIndex& index) {
  constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(index.size_bytes, kChunkBytes)));
  ContentHash hash;
  std::uint64_t line_start = 0;
  std::uint64_t last_used = 0;
  for (std::uint64_t at = 0; at < index.size_bytes; at += kChunkBytes) {
    const std::span<std::byte> chunk = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(index.size_bytes - at, kChunkBytes)));
    read_exactly(file, at, chunk, path);
    hash.update(chunk);
    const std::string_view text(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    if (at == 0 && text.starts_with(kByteOrderMark)) line_start = kByteOrderMark.size();
    const std::size_t used = text.find_last_not_of(" \t\r\n");
    if (used != std::string_view::npos) last_used = at + used + 1;
    for (std::size_t end = text.find('\n'); end != std::string_view::npos;
         end = text.find('\n', end + 1)) {
      index.line_starts.push_back(line_start);
      line_start = at + end + 1;
    }
  }
  // The last line may lack its line end.
  if (line_start < index.size_bytes) index.line_starts.push_back(line_start);
  index.line_starts.push_back(index.size_bytes);
  if (index.format == PromptFormat::jsonl) drop_empty_end(last_used, index.line_starts);
  index.count = index.line_starts.size() - 1;
  index.line_starts.shrink_to_fit();
  index.content_hash = hash.hex();
}

template <typename T>
void append(std::vector<std::byte>& bytes, std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  const auto raw = std::as_bytes(values);
  bytes.insert(bytes.end(), raw.begin(), raw.end());
}

/// Takes values off the front of bytes.
struct ByteReader {
  std::span<const std::byte> bytes;

  template <typename T>
  void read(std::span<T> values) {
    if (bytes.size() < values.size_bytes()) throw InternalError("a prompt index is cut short");
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size_bytes());
    bytes = bytes.subspan(values.size_bytes());
  }
};

}  // namespace

PromptFormat prompt_format_of(const std::string& path) {
  if (ends_with(path, ".txt")) return PromptFormat::text_lines;
  if (ends_with(path, ".jsonl")) return PromptFormat::jsonl;
  if (ends_with(path, ".h5")) return PromptFormat::h5;
  throw UsageError(fmt::format(
      "prompts {}: expected a file name ending in .jsonl, .txt or .h5, which says what is inside",
      path));
}

PromptIndex PromptIndex::build(const std::string& path) {
  PromptIndex index;
  index.format = prompt_format_of(path);
  require_regular_file(path);
  const FileDescriptor file = open_for_reading(path);
  index.size_bytes = file_size(file, path);
  if (index.format == PromptFormat::h5) {
    index.count = detail::count_h5_prompts(path);
    index.content_hash = content_hash_of_file(path);
  } else {
    index_lines(file, path, index);
  }
  if (index.count > std::numeric_limits<PromptId>::max()) {
    throw FormatError(fmt::format("{} has {} prompts, the limit is {}; split the file", path,
                                  index.count, std::numeric_limits<PromptId>::max()));
  }
  return index;
}

std::vector<std::byte> PromptIndex::to_bytes() const {
  const std::array<std::uint64_t, 5> head = {static_cast<std::uint64_t>(format), count, size_bytes,
                                             content_hash.size(), line_starts.size()};
  std::vector<std::byte> bytes;
  bytes.reserve(sizeof(head) + content_hash.size() + line_starts.size() * sizeof(std::uint64_t));
  append(bytes, std::span<const std::uint64_t>(head));
  append(bytes, std::span<const char>(content_hash));
  append(bytes, std::span<const std::uint64_t>(line_starts));
  return bytes;
}

PromptIndex PromptIndex::from_bytes(std::span<const std::byte> bytes) {
  ByteReader reader{bytes};
  std::array<std::uint64_t, 5> head{};
  reader.read(std::span<std::uint64_t>(head));
  PromptIndex index;
  index.format = static_cast<PromptFormat>(head[0]);
  index.count = head[1];
  index.size_bytes = head[2];
  if (head[3] > bytes.size() || head[4] > bytes.size() / sizeof(std::uint64_t)) {
    throw InternalError("a prompt index is cut short");
  }
  index.content_hash.resize(static_cast<std::size_t>(head[3]));
  reader.read(std::span<char>(index.content_hash));
  index.line_starts.resize(static_cast<std::size_t>(head[4]));
  reader.read(std::span<std::uint64_t>(index.line_starts));
  if (!reader.bytes.empty()) throw InternalError("a prompt index has bytes left over");
  return index;
}

}  // namespace gridmill
