#include "gridmill/prompts/prompt_index.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/ids.hpp"
#include "sources_detail.hpp"

namespace gridmill {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

bool ends_with(std::string_view text, std::string_view end) {
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

/// Finds the lines in the content of a file, chunk by chunk.
class LineScan {
 public:
  LineScan(PromptIndex& index, const std::string& mentioned_field, std::string path)
      : index_(index),
        path_(std::move(path)),
        wanted_(mentioned_field.empty() || index.format != PromptFormat::jsonl
                    ? ""
                    : fmt::format("\"{}\"", mentioned_field)),
        searcher_(wanted_.begin(), wanted_.end()) {}
  LineScan(const LineScan&) = delete;
  LineScan& operator=(const LineScan&) = delete;
  ~LineScan() = default;

  void add(std::string_view text) {
    if (at_ == 0 && text.starts_with(kByteOrderMark)) line_start_ = kByteOrderMark.size();
    const std::size_t used = text.find_last_not_of(" \t\r\n");
    if (used != std::string_view::npos) last_used_ = at_ + used + 1;
    for (std::size_t end = text.find('\n'); end != std::string_view::npos;
         end = text.find('\n', end + 1)) {
      end_line(at_ + end + 1);
    }
    at_ += text.size();
    if (index_.compression != Compression::none) check_bounds();
    look_for_field(text);
  }

  void finish() {
    // The last line may lack its line end.
    if (line_start_ < at_) end_line(at_);
    index_.line_starts.push_back(at_);
    if (index_.format == PromptFormat::jsonl) drop_empty_end();
    index_.line_starts.trim();
    index_.count = index_.line_starts.size() - 1;
  }

 private:
  /// Bounds the memory for lines that are read again; a plain file has them on disk.
  static constexpr std::uint64_t kLongestPackedLine = std::uint64_t{64} << 20;

  /// An archive of a few bytes can stand for any number of lines: memory and time stay in
  /// proportion.
  void check_bounds() const {
    if (at_ - line_start_ > kLongestPackedLine) {
      throw FormatError(fmt::format("{}: line {} has more than {} MiB; is this a file of lines?",
                                    path_, index_.line_starts.size() + 1,
                                    kLongestPackedLine >> 20));
    }
    const std::uint64_t most_lines = (std::uint64_t{16} << 20) + 8 * index_.size_bytes;
    const std::uint64_t most_bytes = (std::uint64_t{16} << 30) + 1000 * index_.size_bytes;
    if (index_.line_starts.size() <= most_lines && at_ <= most_bytes) return;
    throw FormatError(
        fmt::format("{} has {} bytes and holds more than {} lines or {} bytes, nearly all of them "
                    "the same; give "
                    "a prompt once and --samples-per-prompt, or the plain file",
                    path_, index_.size_bytes, most_lines, most_bytes));
  }

  void end_line(std::uint64_t end) {
    if (index_.line_starts.size() > std::numeric_limits<PromptId>::max()) {
      throw FormatError(fmt::format("{} has more than {} prompts, the limit; split the file", path_,
                                    std::numeric_limits<PromptId>::max()));
    }
    index_.line_starts.push_back(line_start_);
    index_.longest_line = std::max(index_.longest_line, end - line_start_);
    line_start_ = end;
  }

  void look_for_field(std::string_view text) {
    if (wanted_.empty() || index_.mentions_field) return;
    // With the end of the chunk before, where the name may begin.
    tail_.append(text.substr(0, wanted_.size()));
    index_.mentions_field = holds_wanted(text) || holds_wanted(tail_);
    if (text.size() >= wanted_.size()) tail_ = text.substr(text.size() - wanted_.size());
  }

  /// Quotes are frequent in JSON, so that a search for the first byte of the name would be slow.
  [[nodiscard]] bool holds_wanted(std::string_view text) const {
    return std::search(text.begin(), text.end(), searcher_) != text.end();
  }

  /// Empty lines behind the last object of a .jsonl file are no prompts: many writers end with one.
  void drop_empty_end() {
    if (last_used_ == 0) return;  // nothing but empty lines
    LineStarts& starts = index_.line_starts;
    while (starts.size() > 1 && starts[starts.size() - 2] >= last_used_) starts.pop_back();
  }

  PromptIndex& index_;
  std::string path_;
  std::string wanted_;  ///< the name in quotes; empty = none
  std::boyer_moore_horspool_searcher<std::string::const_iterator> searcher_;
  std::string tail_;
  std::uint64_t at_ = 0;  ///< bytes seen
  std::uint64_t line_start_ = 0;
  std::uint64_t last_used_ = 0;  ///< behind the last byte that is no blank and no line end
};

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void scan_plain(const FileDescriptor& file, const std::string& path, PromptIndex& index,
                LineScan& scan) {
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(index.size_bytes, kChunkBytes)));
  ContentHash hash;
  for (std::uint64_t at = 0; at < index.size_bytes; at += kChunkBytes) {
    const std::span<std::byte> chunk = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(index.size_bytes - at, kChunkBytes)));
    read_exactly(file, at, chunk, path);
    hash.update(chunk);
    scan.add(as_text(chunk));
  }
  index.content_hash = hash.hex();
}

void scan_archive(const FileDescriptor& file, const std::string& path, PromptIndex& index,
                  LineScan& scan) {
  // Small enough that most of the starts of an archive of many parts are seen.
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  ContentHash hash;
  Unpacker unpacker(file, path, index.compression, {},
                    [&hash](std::span<const std::byte> bytes) { hash.update(bytes); });
  for (std::size_t got = buffer.size(); got == buffer.size();) {
    got = unpacker.read(buffer);
    scan.add(as_text(std::span(buffer).first(got)));
    const UnpackStart start = unpacker.last_start();
    if (index.unpack_starts.empty() || !(index.unpack_starts.back() == start)) {
      index.unpack_starts.push_back(start);
    }
  }
  index.content_hash = hash.hex();
}

template <typename T>
void append(std::vector<std::byte>& bytes, std::span<const T> values) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (values.empty()) return;
  const std::size_t before = bytes.size();
  bytes.resize(before + values.size_bytes());
  std::memcpy(bytes.data() + before, values.data(), values.size_bytes());
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
  const bool packed = compression_of(path) != Compression::none;
  const std::string_view name = without_compression(path);
  if (ends_with(name, ".txt")) return PromptFormat::text_lines;
  if (ends_with(name, ".jsonl")) return PromptFormat::jsonl;
  if (!packed && ends_with(name, ".h5")) return PromptFormat::h5;
  throw UsageError(fmt::format(
      "prompts {}: expected a file name ending in .jsonl, .txt (also with .gz or .zst behind) or "
      ".h5, which says what is inside",
      path));
}

PromptIndex PromptIndex::build(const std::string& path, const std::string& mentioned_field) {
  PromptIndex index;
  index.format = prompt_format_of(path);
  index.compression = compression_of(path);
  require_regular_file(path);
  const FileDescriptor file = open_for_reading(path);
  index.size_bytes = file_size(file, path);
  if (index.format == PromptFormat::h5) {
    const std::optional<std::uint64_t> rows = detail::count_result_rows(path);
    if (rows) index.format = PromptFormat::results;
    index.count = rows ? *rows : detail::count_h5_prompts(path);
    index.content_hash = content_hash_of_file(path);
  } else {
    LineScan scan(index, mentioned_field, path);
    if (index.compression == Compression::none) {
      scan_plain(file, path, index, scan);
    } else {
      scan_archive(file, path, index, scan);
    }
    scan.finish();
  }
  if (index.count > std::numeric_limits<PromptId>::max()) {
    throw FormatError(fmt::format("{} has {} prompts, the limit is {}; split the file", path,
                                  index.count, std::numeric_limits<PromptId>::max()));
  }
  return index;
}

std::vector<std::byte> PromptIndex::head() const {
  const std::array<std::uint64_t, 9> numbers = {static_cast<std::uint64_t>(format),
                                                static_cast<std::uint64_t>(compression),
                                                count,
                                                size_bytes,
                                                longest_line,
                                                static_cast<std::uint64_t>(mentions_field),
                                                content_hash.size(),
                                                line_starts.size(),
                                                unpack_starts.size()};
  std::vector<std::byte> bytes;
  append(bytes, std::span<const std::uint64_t>(numbers));
  append(bytes, std::span<const char>(content_hash));
  append(bytes, std::span<const UnpackStart>(unpack_starts));
  return bytes;
}

PromptIndex PromptIndex::from_head(std::span<const std::byte> bytes) {
  ByteReader reader{bytes};
  std::array<std::uint64_t, 9> numbers{};
  reader.read(std::span<std::uint64_t>(numbers));
  PromptIndex index;
  index.format = static_cast<PromptFormat>(numbers[0]);
  index.compression = static_cast<Compression>(numbers[1]);
  index.count = numbers[2];
  index.size_bytes = numbers[3];
  index.longest_line = numbers[4];
  index.mentions_field = numbers[5] != 0;
  if (numbers[6] > bytes.size() || numbers[8] > bytes.size() / sizeof(UnpackStart)) {
    throw InternalError("a prompt index is cut short");
  }
  index.content_hash.resize(static_cast<std::size_t>(numbers[6]));
  reader.read(std::span<char>(index.content_hash));
  index.unpack_starts.resize(static_cast<std::size_t>(numbers[8]));
  reader.read(std::span<UnpackStart>(index.unpack_starts));
  if (!reader.bytes.empty()) throw InternalError("a prompt index has bytes left over");
  index.line_starts.assign_zeros(static_cast<std::size_t>(numbers[7]));
  return index;
}

}  // namespace gridmill
