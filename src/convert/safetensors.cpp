#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "convert/file_tensor_detail.hpp"
#include "convert/folder_report.hpp"
#include "convert/safetensors_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json_members.hpp"
#include "gridmill/base/log.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr const char* kWhole = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

struct TypeRow {
  std::string_view name;
  SafetensorsType type;
  std::size_t size_bytes;
};
constexpr std::array kTypes = {
    TypeRow{"F32", SafetensorsType::f32, 4},
    TypeRow{"F16", SafetensorsType::f16, 2},
    TypeRow{"BF16", SafetensorsType::bf16, 2},
    TypeRow{"F64", SafetensorsType::f64, 8},
    TypeRow{"I8", SafetensorsType::i8, 1},
    TypeRow{"U8", SafetensorsType::u8, 1},
    TypeRow{"F8_E4M3", SafetensorsType::f8_e4m3, 1},
    TypeRow{"F8_E5M2", SafetensorsType::f8_e5m2, 1},
    TypeRow{"BOOL", SafetensorsType::boolean, 1},
    TypeRow{"I32", SafetensorsType::i32, 4},
    TypeRow{"I64", SafetensorsType::i64, 8},
};

const TypeRow& row_of(SafetensorsType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(),
                       [type](const TypeRow& row) { return row.type == type; });
}

std::uint64_t unsigned_at(const Json& value, const std::string& what) {
  if (!value.is_number_unsigned()) throw FormatError(what + " is not an unsigned integer");
  return value.get<std::uint64_t>();
}

SafetensorsEntry entry_of(const std::string& name, const Json& fields, std::uint64_t data_bytes,
                          const std::string& path) {
  const std::string where = fmt::format("{}: tensor {}", path, name);
  const auto field = [&](const char* key, bool ok) {
    if (!ok) throw FormatError(fmt::format("{}: field {} is missing or malformed", where, key));
  };
  if (!fields.is_object()) throw FormatError(where + " is not described by an object");
  field("dtype", fields.contains("dtype") && fields["dtype"].is_string());
  field("shape", fields.contains("shape") && fields["shape"].is_array());
  field("data_offsets", fields.contains("data_offsets") && fields["data_offsets"].is_array() &&
                            fields["data_offsets"].size() == 2);

  const auto type_name = fields["dtype"].get<std::string>();
  const auto type = std::find_if(kTypes.begin(), kTypes.end(),
                                 [&](const TypeRow& row) { return row.name == type_name; });
  if (type == kTypes.end()) {
    throw FormatError(
        fmt::format("{} has dtype {}, which is unsupported; expected F32, F16, BF16, F64, "
                    "F8_E4M3, F8_E5M2, I8, U8, BOOL, I32 or I64",
                    where, type_name));
  }

  SafetensorsEntry entry{.name = name, .type = type->type};
  for (const Json& extent : fields["shape"]) {
    const std::uint64_t value = unsigned_at(extent, where + ": an extent of its shape");
    if (value > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      throw FormatError(fmt::format("{}: extent {} is absurd", where, value));
    }
    entry.shape.push_back(static_cast<std::int64_t>(value));
  }
  entry.begin = unsigned_at(fields["data_offsets"][0], where + ": data_offsets[0]");
  entry.end = unsigned_at(fields["data_offsets"][1], where + ": data_offsets[1]");
  if (entry.begin > entry.end || entry.end > data_bytes) {
    throw FormatError(
        fmt::format("{}: data_offsets [{}, {}] leave the file, which has {} bytes of data; is it "
                    "cut short?",
                    where, entry.begin, entry.end, data_bytes));
  }
  const std::int64_t count = element_count(entry.shape);
  const std::uint64_t bytes = entry.end - entry.begin;
  if (count < 0 || bytes % type->size_bytes != 0 ||
      bytes / type->size_bytes != static_cast<std::uint64_t>(count)) {
    throw FormatError(fmt::format(
        "{}: data_offsets [{}, {}] span {} bytes, but {} of shape {} "
        "needs {}",
        where, entry.begin, entry.end, bytes, type_name, to_text(entry.shape),
        count < 0 ? "more than any file has" : fmt::format("{} x {}", count, type->size_bytes)));
  }
  return entry;
}

void refuse_overlap(const std::vector<SafetensorsEntry>& entries, const std::string& path) {
  std::vector<const SafetensorsEntry*> filled;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin < entry.end) filled.push_back(&entry);
  }
  std::sort(filled.begin(), filled.end(),
            [](const auto* left, const auto* right) { return left->begin < right->begin; });
  for (std::size_t i = 1; i < filled.size(); ++i) {
    if (filled[i]->begin < filled[i - 1]->end) {
      throw FormatError(fmt::format("{}: the data of tensors {} and {} overlap", path,
                                    filled[i - 1]->name, filled[i]->name));
    }
  }
}

NumberFormat format_of(SafetensorsType type) {
  if (type == SafetensorsType::f32) return NumberFormat::fp32;
  if (type == SafetensorsType::f16) return NumberFormat::fp16;
  if (type == SafetensorsType::bf16) return NumberFormat::bf16;
  if (type == SafetensorsType::f64) return NumberFormat::fp64;
  if (type == SafetensorsType::f8_e4m3) return NumberFormat::f8_e4m3;
  if (type == SafetensorsType::f8_e5m2) return NumberFormat::f8_e5m2;
  if (type == SafetensorsType::i8) return NumberFormat::i8;
  if (type == SafetensorsType::u8) return NumberFormat::u8;
  return NumberFormat::integer;
}

/// A shard's name must be a file of the folder itself.
void check_shard_name(const std::string& name, const std::string& index) {
  if (name.empty() || name.find('/') != std::string::npos || name == "." || name == "..") {
    throw FormatError(fmt::format(
        "{}: weight_map names the file \"{}\", expected a file of the same folder", index, name));
  }
}

void add_sharded(ModelFolder& folder, ForeignTensors& tensors) {
  const std::string index = folder.place_of(kIndex);
  const Json parsed = parse_json(folder.read(kIndex), index);
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object()) {
    throw FormatError(index + ": expected an object weight_map of tensor names and files");
  }
  std::set<std::string> files;
  for (const auto& [tensor, file] : parsed["weight_map"].items()) {
    if (!file.is_string()) {
      throw FormatError(fmt::format("{}: weight_map[{}] is not a file name", index, tensor));
    }
    check_shard_name(file.get<std::string>(), index);
    files.insert(file.get<std::string>());
  }
  for (const std::string& file : files) {
    try {
      add_safetensors_file(folder, file, tensors);
    } catch (MissingInputError& error) {
      error.add_context("reading the shards that " + index + " names");
      throw;
    }
  }
  for (const auto& [tensor, file] : parsed["weight_map"].items()) {
    const ForeignTensor* found = tensors.find(tensor);
    const std::string expected = folder.place_of(file.get<std::string>());
    if (found == nullptr || found->file() != expected) {
      throw FormatError(fmt::format("{}: tensor {} is missing; {} says that it is there", expected,
                                    tensor, index));
    }
  }
}

[[noreturn]] void refuse_without_weights(const ModelFolder& folder) {
  std::string others;
  for (const std::string& name : folder.names()) {
    if (is_weight_file(name)) others += (others.empty() ? "" : ", ") + name;
  }
  std::string advice = adapter_advice(folder);
  if (advice.empty()) advice = gguf_advice(folder);
  if (advice.empty()) {
    advice = others.empty()
                 ? "weights in other formats are unsupported, save the model as safetensors"
                 : fmt::format(
                       "it has {}, which is unsupported (pickled files can run code when "
                       "they are opened): save the model as safetensors",
                       others);
  }
  throw FormatError(
      fmt::format("{}: neither {} nor {} is there; {}", folder.path(), kWhole, kIndex, advice));
}

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view header,
                                                       std::uint64_t data_bytes,
                                                       const std::string& path) {
  std::vector<SafetensorsEntry> entries;
  parse_json_members(header, path + " (header)", [&](const std::string& name, const Json& fields) {
    if (name != "__metadata__") {
      entries.push_back(entry_of(name, fields, data_bytes, path));
    } else if (!fields.is_object()) {
      throw FormatError(path + ": __metadata__ is not an object");
    }
  });
  std::sort(entries.begin(), entries.end(),
            [](const auto& left, const auto& right) { return left.name < right.name; });
  refuse_overlap(entries, path);
  return entries;
}

void add_safetensors_file(ModelFolder& folder, const std::string& name, ForeignTensors& tensors) {
  const std::string path = folder.place_of(name);
  auto file = std::make_shared<const FileDescriptor>(folder.open(name));
  const std::uint64_t size = file_size(*file, path);
  std::uint64_t header_bytes = 0;
  if (size < sizeof header_bytes) {
    throw FormatError(fmt::format(
        "{} has {} bytes: too short for a safetensors file, which begins with the length of its "
        "header",
        path, size));
  }
  read_exactly(*file, 0, std::as_writable_bytes(std::span(&header_bytes, 1)), path);
  if (header_bytes > kLongestSafetensorsHeader || header_bytes > size - sizeof header_bytes) {
    throw FormatError(
        fmt::format("{}: the header should have {} bytes, but the file has {} and {} are the most "
                    "that is read; not a safetensors file, or cut short",
                    path, header_bytes, size, kLongestSafetensorsHeader));
  }
  std::string header(header_bytes, '\0');
  read_exactly(*file, sizeof header_bytes, std::as_writable_bytes(std::span(header)), path);
  const std::uint64_t data_start = sizeof header_bytes + header_bytes;
  for (const SafetensorsEntry& entry : parse_safetensors_header(header, size - data_start, path)) {
    tensors.add(std::make_unique<FileTensor>(
        entry.name, path, entry.shape, std::string(row_of(entry.type).name), format_of(entry.type),
        FileRange{.file = file, .offset = data_start + entry.begin}));
  }
}

void add_safetensors_folder(ModelFolder& folder, ForeignTensors& tensors) {
  if (folder.has(kWhole)) {
    add_safetensors_file(folder, kWhole, tensors);
    if (folder.has(kIndex)) {
      log::warn(
          "{}: {} and {} are both there; the tensors of {} count, as in transformers, and the "
          "files that the index names are not read",
          folder.path(), kWhole, kIndex, kWhole);
    }
  } else if (folder.has(kIndex)) {
    add_sharded(folder, tensors);
  } else {
    refuse_without_weights(folder);
  }
}

}  // namespace gridmill::convert_detail
