#include "convert/gguf/gguf_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <set>
#include <span>
#include <utility>

#include "convert/gguf/gguf_blocks.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

/// The largest header of a known model (a vocabulary of 260,000 tokens with merges) has 20 MB.
constexpr std::uint64_t kLongestHeader = std::uint64_t{256} << 20;
constexpr std::uint64_t kMostKeys = 1 << 16;
constexpr std::uint64_t kMostTensors = 1 << 20;
constexpr std::uint64_t kMostValues = 1 << 22;  ///< of all arrays together
constexpr std::uint64_t kLongestName = 1 << 16;

/// Types of metadata values.
enum ValueType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  text = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12
};

/// Reads values one after the other, through a buffer.
class HeaderReader {
 public:
  HeaderReader(const FileDescriptor& file, std::string path)
      : file_(file), path_(std::move(path)), size_(file_size(file, path_)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t position() const { return start_ + used_; }
  [[nodiscard]] std::uint64_t size() const { return size_; }

  template <typename T>
  T value(const std::string& what) {
    T result{};
    bytes(std::as_writable_bytes(std::span(&result, 1)), what);
    return result;
  }
  std::string string(const std::string& what, std::uint64_t longest) {
    const auto length = value<std::uint64_t>(what);
    if (length > longest) {
      throw FormatError(
          fmt::format("{}: {} has {} bytes; at most {} are read", path_, what, length, longest));
    }
    need(length, what);
    std::string result(length, '\0');
    bytes(std::as_writable_bytes(std::span(result)), what);
    return result;
  }
  /// @throws FormatError unless the file has so many more bytes.
  void need(std::uint64_t count, const std::string& what) const {
    if (count > size_ - position()) {
      throw FormatError(
          fmt::format("{}: {} needs {} bytes at {}, but the file has {}; is it cut short?", path_,
                      what, count, position(), size_));
    }
    if (position() + count > kLongestHeader) {
      throw FormatError(
          fmt::format("{}: {} lies beyond {} bytes of header", path_, what, kLongestHeader));
    }
  }

 private:
  const FileDescriptor& file_;
  std::string path_;
  std::uint64_t size_;
  std::uint64_t start_ = 0;  // of the buffer in the file
  std::size_t used_ = 0;
  std::vector<std::byte> buffer_;

  void bytes(std::span<std::byte> out, const std::string& what) {
    constexpr std::uint64_t kBuffer = 1 << 20;
    need(out.size(), what);
    while (!out.empty()) {
      if (used_ == buffer_.size()) {
        start_ += used_;
        used_ = 0;
        buffer_.resize(std::min(kBuffer, size_ - start_));
        read_exactly(file_, start_, buffer_, path_);
      }
      const std::size_t count = std::min(out.size(), buffer_.size() - used_);
      std::memcpy(out.data(), buffer_.data() + used_, count);
      used_ += count;
      out = out.subspan(count);
    }
  }
};

class Parser {
 public:
  Parser(const FileDescriptor& file, const std::string& path) : reader_(file, path) {}

  void run(GgufFile& result) {
    const auto magic = reader_.value<std::array<char, 4>>("the magic number");
    if (std::string_view(magic.data(), magic.size()) != kGgufMagic) {
      throw FormatError(reader_.path() + " is no GGUF file");
    }
    const auto version = reader_.value<std::uint32_t>("the version");
    if (version != 2 && version != 3) {
      throw FormatError(fmt::format("{}: GGUF version {} is unsupported; expected 2 or 3{}",
                                    reader_.path(), version,
                                    (version & 0xFFFFU) == 0 ? " (is it big-endian?)" : ""));
    }
    const auto tensors = reader_.value<std::uint64_t>("the number of tensors");
    const auto keys = reader_.value<std::uint64_t>("the number of keys");
    if (tensors > kMostTensors || keys > kMostKeys) {
      throw FormatError(fmt::format("{}: {} tensors and {} keys; at most {} and {} are read",
                                    reader_.path(), tensors, keys, kMostTensors, kMostKeys));
    }
    for (std::uint64_t i = 0; i < keys; ++i) read_key(result.metadata);
    for (std::uint64_t i = 0; i < tensors; ++i) read_entry(result.tensors);
    place(result);
  }

 private:
  HeaderReader reader_;
  std::uint64_t values_ = 0;

  void read_key(Json& metadata) {
    const std::string key = reader_.string("a key", kLongestName);
    const std::string what = "key " + key;
    const auto type = reader_.value<std::uint32_t>(what);
    Json value = type == array ? read_array(what) : read_value(type, what);
    if (!metadata.emplace(key, std::move(value)).second) {
      throw FormatError(fmt::format("{}: {} occurs a second time", reader_.path(), what));
    }
  }

  Json read_array(const std::string& what) {
    const auto type = reader_.value<std::uint32_t>(what);
    const auto count = reader_.value<std::uint64_t>(what);
    values_ += std::min(count, kMostValues + 1);
    if (values_ > kMostValues) {
      throw FormatError(fmt::format("{}: {} has {} values; at most {} are read", reader_.path(),
                                    what, count, kMostValues));
    }
    reader_.need(count, what);  // a value has a byte at least
    Json list = Json::array();
    for (std::uint64_t i = 0; i < count; ++i) list.push_back(read_value(type, what));
    return list;
  }

  Json read_value(std::uint32_t type, const std::string& what) {
    switch (type) {
      case u8:
        return reader_.value<std::uint8_t>(what);
      case i8:
        return reader_.value<std::int8_t>(what);
      case u16:
        return reader_.value<std::uint16_t>(what);
      case i16:
        return reader_.value<std::int16_t>(what);
      case u32:
        return reader_.value<std::uint32_t>(what);
      case i32:
        return reader_.value<std::int32_t>(what);
      case f32:
        return shortest_decimal(reader_.value<float>(what));
      case boolean:
        return reader_.value<std::uint8_t>(what) != 0;
      case text:
        return reader_.string(what, kLongestHeader);
      case u64:
        return reader_.value<std::uint64_t>(what);
      case i64:
        return reader_.value<std::int64_t>(what);
      case f64:
        return reader_.value<double>(what);
      default:
        throw FormatError(fmt::format("{}: {} has values of type {}, which is unsupported",
                                      reader_.path(), what, type));
    }
  }

  void read_entry(std::vector<GgufEntry>& entries) {
    constexpr std::uint32_t kMostAxes = 4;
    GgufEntry entry{.name = reader_.string("the name of a tensor", kLongestName)};
    const std::string what = "tensor " + entry.name;
    const auto axes = reader_.value<std::uint32_t>(what);
    if (axes < 1 || axes > kMostAxes) {
      throw FormatError(fmt::format("{}: {} has {} axes, expected 1 to {}", reader_.path(), what,
                                    axes, kMostAxes));
    }
    for (std::uint32_t axis = 0; axis < axes; ++axis) {
      const auto extent = reader_.value<std::uint64_t>(what);
      if (extent < 1 || extent > (std::uint64_t{1} << 40)) {
        throw FormatError(fmt::format("{}: {} has an extent of {}", reader_.path(), what, extent));
      }
      entry.shape.insert(entry.shape.begin(), static_cast<std::int64_t>(extent));
    }
    entry.type = reader_.value<std::uint32_t>(what);
    entry.offset = reader_.value<std::uint64_t>(what);
    entries.push_back(std::move(entry));
  }

  /// Offsets count from the first multiple of the alignment behind the header.
  void place(GgufFile& result) const {
    constexpr std::uint64_t kDefaultAlignment = 32;
    constexpr std::uint64_t kLargestAlignment = 1 << 20;
    std::uint64_t alignment = kDefaultAlignment;
    if (const auto found = result.metadata.find("general.alignment");
        found != result.metadata.end()) {
      alignment = found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
      if (alignment < 1 || alignment > kLargestAlignment) {
        throw FormatError(fmt::format("{}: key general.alignment is no size up to {}",
                                      reader_.path(), kLargestAlignment));
      }
    }
    const std::uint64_t header = reader_.position();
    const std::uint64_t data = (header + alignment - 1) / alignment * alignment;
    const std::uint64_t size = reader_.size();
    std::set<std::string_view> names;
    for (GgufEntry& entry : result.tensors) {
      const std::string where = fmt::format("{}: tensor {}", reader_.path(), entry.name);
      if (!names.insert(entry.name).second) throw FormatError(where + " occurs a second time");
      const GgufFormat& format = gguf_format(entry.type, where);
      const std::int64_t count = element_count(entry.shape);
      if (count < 1 || entry.shape.back() % format.values != 0) {
        throw FormatError(fmt::format("{} is {}; {} holds rows of whole blocks of {}", where,
                                      to_text(entry.shape), format.name, format.values));
      }
      const std::uint64_t blocks = static_cast<std::uint64_t>(count / format.values);
      const bool outside = data > size || entry.offset > size - data ||
                           blocks > (size - data - entry.offset) / format.bytes;
      if (outside || entry.offset % alignment != 0) {
        throw FormatError(fmt::format(
            "{} of {} has {} blocks of {} bytes at {} behind {}, but the file has {} bytes{}; is "
            "it cut short?",
            where, to_text(entry.shape), blocks, format.bytes, entry.offset, data, size,
            outside ? "" : fmt::format(", and offsets are multiples of {}", alignment)));
      }
      entry.offset += data;
    }
  }
};

}  // namespace

double shortest_decimal(float value) {
  return std::isfinite(value) ? std::stod(fmt::format("{}", value)) : static_cast<double>(value);
}

GgufFile read_gguf_file(const std::string& path) {
  GgufFile result{.path = path,
                  .file = std::make_shared<const FileDescriptor>(open_for_reading(path))};
  Parser(*result.file, path).run(result);
  return result;
}

}  // namespace gridmill::convert_detail
