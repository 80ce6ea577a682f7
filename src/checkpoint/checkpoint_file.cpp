#include "gridmill/checkpoint/checkpoint_file.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "checkpoint/layout_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill {

namespace layout = checkpoint_layout;

// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct CheckpointFile::Impl {
  std::string path;
  FileDescriptor file;
  std::uint64_t file_bytes = 0;
  std::int64_t version = layout::kFormatVersion;
  Json model;
  std::string hash;
  std::string tokenizer_hash;
  std::string tokenizer_kind;
  std::string tokenizer;
  std::map<std::string, std::string> files;
  std::vector<StoredParameter> parameters;
  std::unordered_map<std::string, std::size_t> by_name;
  std::uint64_t parameter_bytes = 0;
  mutable std::atomic<std::uint64_t> bytes_read{0};

  void read_header(const h5::File& h5);
  void read_parameters(const h5::File& h5);
  void read_hashes(const h5::File& h5);
};

namespace {

constexpr std::size_t kChunkBytes = std::size_t{4} << 20;

/// Bytes of the dataset of values or codes, and of that of scales.
std::uint64_t value_bytes(const StoredParameter& parameter) {
  if (!parameter.format.coded()) {
    return static_cast<std::uint64_t>(layout::element_count(parameter.spec.shape)) *
           size_of(parameter.dtype);
  }
  return static_cast<std::uint64_t>(parameter.spec.shape[0] *
                                    code_bytes(parameter.format.codes, parameter.spec.shape[1]));
}
std::uint64_t scale_bytes(const StoredParameter& parameter) {
  if (!parameter.format.coded()) return 0;
  return static_cast<std::uint64_t>(parameter.spec.shape[0] * parameter.groups() * kScaleBytes);
}

/// Columns of the matrix that a parameter of any rank is read as.
std::int64_t columns_of(const StoredParameter& parameter) {
  return parameter.spec.shape.size() >= 2 ? parameter.spec.shape.back() : 1;
}

std::uint64_t offset_of(const h5::Dataset& dataset) {
  const auto offset = dataset.offset();
  if (offset) return *offset;
  throw FormatError(
      fmt::format("{} is not stored in one piece (chunked, compressed or empty); "
                  "convert the model with gridmill convert",
                  dataset.where()));
}

/// Reads the attributes and scales of a matrix in codes.
void describe_codes(const h5::File& h5, const h5::Dataset& dataset, const std::string& object,
                    StoredParameter& parameter) {
  const auto refuse = [&](const std::string& why) {
    throw FormatError(
        fmt::format("{}: {}; convert the model with gridmill convert", dataset.where(), why));
  };
  for (const char* name : {"inputs", "group", "block"}) {
    if (!h5.has_attribute(object, name)) refuse(fmt::format("codes without attribute {}", name));
  }
  const std::int64_t inputs = h5.read_integer_attribute(object, "inputs");
  const std::int64_t group = h5.read_integer_attribute(object, "group");
  parameter.block = h5.read_integer_attribute(object, "block");
  const WeightCodes codes = parameter.format.codes;
  constexpr std::int64_t kMostInputs = std::int64_t{1} << 40;
  if (parameter.spec.shape.size() != 2 || inputs < 1 || inputs > kMostInputs ||
      parameter.spec.shape[1] != code_bytes(codes, inputs)) {
    refuse(fmt::format("{} codes of {} inputs do not fit its shape {}", name_of(codes), inputs,
                       layout::shape_text(parameter.spec.shape)));
  }
  if (!layout::is_group(group) || !layout::is_group_block(inputs, parameter.block)) {
    refuse(fmt::format("groups of {} inputs in blocks of {}", group, parameter.block));
  }
  parameter.spec.shape[1] = inputs;
  parameter.format.group = static_cast<int>(group);
  const std::string scales = fmt::format("{}/{}", layout::kScales, parameter.spec.name);
  if (!h5.exists(scales)) refuse("codes without " + scales);
  const h5::Dataset dataset_of_scales = h5.dataset(scales);
  const std::vector<std::uint64_t> expected = {static_cast<std::uint64_t>(parameter.spec.shape[0]),
                                               static_cast<std::uint64_t>(parameter.groups())};
  if (dataset_of_scales.type().kind != h5::Kind::fp16 || dataset_of_scales.shape() != expected) {
    refuse(fmt::format("{} is not fp16 [{}]", scales, fmt::join(expected, ", ")));
  }
  parameter.scales_offset = offset_of(dataset_of_scales);
}

StoredParameter describe(const h5::File& h5, const std::string& object) {
  const h5::Dataset dataset = h5.dataset(object);
  StoredParameter parameter;
  parameter.spec.name = object.substr(layout::kParameters.size() + 1);
  for (const std::uint64_t extent : dataset.shape()) {
    parameter.spec.shape.push_back(static_cast<std::int64_t>(extent));
  }
  switch (dataset.type().kind) {
    case h5::Kind::fp32:
      break;
    case h5::Kind::bf16:
      parameter.dtype = DType::bf16;
      break;
    case h5::Kind::i8:
      parameter.format.codes = WeightCodes::int8;
      break;
    case h5::Kind::u8:
      parameter.format.codes = WeightCodes::int4;
      break;
    default:
      throw FormatError(
          fmt::format("{} is {}, but a checkpoint stores fp32, bf16 or codes; convert the "
                      "model with gridmill convert",
                      dataset.where(), name_of(dataset.type())));
  }
  if (parameter.format.coded()) describe_codes(h5, dataset, object, parameter);
  parameter.offset = offset_of(dataset);
  return parameter;
}

}  // namespace

void CheckpointFile::Impl::read_header(const h5::File& h5) {
  if (!h5.has_attribute("/", "format")) {
    throw FormatError(fmt::format(
        "{} is no gridmill checkpoint: it has no attribute 'format'; make one with gridmill "
        "convert SRC {}",
        path, path));
  }
  const std::string format = h5.read_text_attribute("/", "format");
  if (format != layout::kFormat) {
    throw FormatError(fmt::format("{} is no gridmill checkpoint: its format is '{}', expected '{}'",
                                  path, format, layout::kFormat));
  }
  version = h5.read_integer_attribute("/", "format_version");
  if (version != layout::kFormatVersion && version != layout::kCodedFormatVersion) {
    throw FormatError(
        fmt::format("{} has checkpoint format version {}, this gridmill reads {} and {}; "
                    "convert the model again",
                    path, version, layout::kFormatVersion, layout::kCodedFormatVersion));
  }
  model = parse_json(h5.read_text_attribute("/", "model"), path + ": attribute model");
  for (const h5::Link& link : h5.links(std::string(layout::kFiles))) {
    if (link.kind != h5::LinkKind::dataset) continue;
    files[link.path.substr(layout::kFiles.size() + 1)] = h5.read_text(link.path);
  }
  const std::string object(layout::kTokenizer);
  if (h5.exists(object)) {
    tokenizer_kind = h5.read_text_attribute(object, "kind");
    tokenizer = h5.read_text(object);
    ContentHash of_tokenizer;
    of_tokenizer.update(tokenizer);
    tokenizer_hash = of_tokenizer.hex();
  }
}

void CheckpointFile::Impl::read_parameters(const h5::File& h5) {
  for (const h5::Link& link : h5.links(std::string(layout::kParameters))) {
    if (link.kind == h5::LinkKind::dataset) parameters.push_back(describe(h5, link.path));
  }
  for (const StoredParameter& parameter : parameters) {
    const auto require_inside = [&](std::uint64_t offset, std::uint64_t size) {
      parameter_bytes += size;
      if (offset <= file_bytes && size <= file_bytes - offset) return;
      throw FormatError(fmt::format(
          "{} is cut short: parameter {} needs bytes {} to {}, the file has {}; copy or convert "
          "it again",
          path, parameter.spec.name, offset, offset + size, file_bytes));
    };
    require_inside(parameter.offset, value_bytes(parameter));
    if (parameter.format.coded()) {
      require_inside(parameter.scales_offset, scale_bytes(parameter));
    }
  }
}

void CheckpointFile::Impl::read_hashes(const h5::File& h5) {
  const std::string where = path + ":" + std::string(layout::kHashes);
  const std::string text = h5.read_text(std::string(layout::kHashes));
  static_cast<void>(parse_json(text, where));  // for its checks and its message
  const OrderedJson hashes = OrderedJson::parse(text);
  std::unordered_map<std::string, std::size_t> place;  // in the order of the description
  std::vector<layout::HashedParameter> hashed;
  try {
    hash = hashes.at("checkpoint").get<std::string>();
    const OrderedJson& listed = hashes.at("parameters");
    for (const auto& entry : listed.items()) place.emplace(entry.key(), place.size());
    for (StoredParameter& parameter : parameters) {
      parameter.hash = listed.at(parameter.spec.name).get<std::string>();
      hashed.push_back(
          {parameter.spec.name, parameter.spec.shape, parameter.type_name(), parameter.hash});
    }
  } catch (const OrderedJson::exception& error) {
    throw FormatError(fmt::format("{} lacks a hash: {}", where, error.what()));
  }
  if (hash != layout::checkpoint_hash(model, hashed)) {
    throw FormatError(
        fmt::format("{} is damaged: its configuration or its list of parameters is not the one "
                    "that was hashed; copy or convert it again",
                    path));
  }
  std::sort(parameters.begin(), parameters.end(), [&](const auto& a, const auto& b) {
    return place.at(a.spec.name) < place.at(b.spec.name);
  });
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    by_name.emplace(parameters[index].spec.name, index);
  }
}

void CheckpointFile::examine(const std::string& path) { h5::examine(path); }

CheckpointFile CheckpointFile::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  impl->file = open_for_reading(path);
  impl->file_bytes = file_size(impl->file, path);
  const h5::File h5 = h5::File::open(path);
  impl->read_header(h5);
  impl->read_parameters(h5);
  impl->read_hashes(h5);
  return CheckpointFile(std::move(impl));
}

CheckpointFile::CheckpointFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CheckpointFile::~CheckpointFile() = default;
CheckpointFile::CheckpointFile(CheckpointFile&&) noexcept = default;
CheckpointFile& CheckpointFile::operator=(CheckpointFile&&) noexcept = default;

const std::string& CheckpointFile::path() const { return impl_->path; }
const Json& CheckpointFile::model() const { return impl_->model; }
const std::string& CheckpointFile::hash() const { return impl_->hash; }
const std::string& CheckpointFile::tokenizer_hash() const { return impl_->tokenizer_hash; }
const std::string& CheckpointFile::tokenizer_kind() const { return impl_->tokenizer_kind; }
const std::string& CheckpointFile::tokenizer() const { return impl_->tokenizer; }
const std::map<std::string, std::string>& CheckpointFile::files() const { return impl_->files; }
const std::vector<StoredParameter>& CheckpointFile::parameters() const { return impl_->parameters; }
std::uint64_t CheckpointFile::parameter_bytes() const { return impl_->parameter_bytes; }
std::uint64_t CheckpointFile::bytes_read() const { return impl_->bytes_read; }

const StoredParameter& CheckpointFile::require(const ParameterSpec& spec) const {
  const auto found = impl_->by_name.find(spec.name);
  if (found == impl_->by_name.end()) {
    throw FormatError(fmt::format("{} has no parameter {} {}, which its model configuration needs",
                                  impl_->path, spec.name, layout::shape_text(spec.shape)));
  }
  const StoredParameter& parameter = impl_->parameters[found->second];
  if (parameter.spec.shape != spec.shape) {
    throw FormatError(fmt::format(
        "{}: parameter {} is {}, expected {} from its model configuration", impl_->path, spec.name,
        layout::shape_text(parameter.spec.shape), layout::shape_text(spec.shape)));
  }
  return parameter;
}

std::string StoredParameter::type_name() const { return layout::type_name(dtype, format); }
std::uint64_t StoredParameter::size_bytes() const {
  return value_bytes(*this) + scale_bytes(*this);
}

/// A rectangle of a row-major dataset.
struct CheckpointFile::Slab {
  std::uint64_t offset;   ///< of the dataset
  std::int64_t all_rows;  ///< of the dataset
  std::int64_t all_columns;
  std::size_t element;  ///< bytes
  IndexRange rows;
  IndexRange columns;
};

void CheckpointFile::read(const StoredParameter& parameter, IndexRange rows, IndexRange columns,
                          std::span<std::byte> out) const {
  GRIDMILL_ASSERT(!parameter.format.coded(), parameter.spec.name + " is stored in codes");
  const std::int64_t all_columns = columns_of(parameter);
  read_slab(parameter,
            {parameter.offset, layout::element_count(parameter.spec.shape) / all_columns,
             all_columns, size_of(parameter.dtype), rows, columns},
            out);
}

void CheckpointFile::read_codes(const StoredParameter& parameter, IndexRange rows,
                                IndexRange columns, std::span<std::byte> out) const {
  const std::int64_t inputs = parameter.spec.shape.back();
  const WeightCodes codes = parameter.format.codes;
  if (codes == WeightCodes::int8) {
    return read_slab(parameter,
                     {parameter.offset, parameter.spec.shape[0], inputs, 1, rows, columns}, out);
  }
  GRIDMILL_ASSERT(codes == WeightCodes::int4 && columns.first % 2 == 0,
                  "codes of 4 bits are read from an even column on");
  const IndexRange bytes{columns.first / 2, code_bytes(codes, columns.count)};
  std::vector<std::byte> pairs(static_cast<std::size_t>(rows.count * bytes.count));
  read_slab(parameter,
            {parameter.offset, parameter.spec.shape[0], code_bytes(codes, inputs), 1, rows, bytes},
            pairs);
  const auto width = static_cast<std::size_t>(columns.count);
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows.count); ++row) {
    unpack_int4_row(std::span(pairs).subspan(row * static_cast<std::size_t>(bytes.count)),
                    out.subspan(row * width, width));
  }
}

void CheckpointFile::read_scales(const StoredParameter& parameter, IndexRange rows,
                                 IndexRange groups, std::span<std::byte> out) const {
  read_slab(parameter,
            {parameter.scales_offset, parameter.spec.shape[0], parameter.groups(),
             static_cast<std::size_t>(kScaleBytes), rows, groups},
            out);
}

void CheckpointFile::read_slab(const StoredParameter& parameter, const Slab& slab,
                               std::span<std::byte> out) const {
  const auto& [offset, all_rows, all_columns, element, rows, columns] = slab;
  GRIDMILL_ASSERT(rows.first >= 0 && rows.count >= 0 && rows.end() <= all_rows &&
                      columns.first >= 0 && columns.count >= 0 && columns.end() <= all_columns,
                  "reading outside of parameter " + parameter.spec.name);
  const std::size_t slab_bytes = static_cast<std::size_t>(columns.count) * element;
  GRIDMILL_ASSERT(out.size() == static_cast<std::size_t>(rows.count) * slab_bytes,
                  "reading parameter " + parameter.spec.name + " into a span of another size");
  impl_->bytes_read += out.size();
  if (out.empty()) return;
  const std::size_t row_bytes = static_cast<std::size_t>(all_columns) * element;
  const std::uint64_t begin = offset + static_cast<std::uint64_t>(rows.first) * row_bytes +
                              static_cast<std::uint64_t>(columns.first) * element;
  if (slab_bytes == row_bytes) {
    read_exactly(impl_->file, begin, out, impl_->path);
    return;
  }
  // A gap of a page costs about as much to read as a system call.
  constexpr std::size_t kWorthwhileGap = 4096;
  const auto count = static_cast<std::size_t>(rows.count);
  if (row_bytes - slab_bytes > kWorthwhileGap) {
    for (std::size_t row = 0; row < count; ++row) {
      read_exactly(impl_->file, begin + row * row_bytes, out.subspan(row * slab_bytes, slab_bytes),
                   impl_->path);
    }
    return;
  }
  const std::size_t rows_per_chunk = std::max<std::size_t>(1, kChunkBytes / row_bytes);
  std::vector<std::byte> chunk;
  for (std::size_t first = 0; first < count; first += rows_per_chunk) {
    const std::size_t some = std::min(rows_per_chunk, count - first);
    chunk.resize((some - 1) * row_bytes + slab_bytes);  // the last row's tail may end the file
    read_exactly(impl_->file, begin + first * row_bytes, chunk, impl_->path);
    for (std::size_t row = 0; row < some; ++row) {
      std::memcpy(out.data() + (first + row) * slab_bytes, chunk.data() + row * row_bytes,
                  slab_bytes);
    }
  }
}

void CheckpointFile::read_elements(const StoredParameter& parameter, IndexRange elements,
                                   std::span<std::byte> out) const {
  GRIDMILL_ASSERT(!parameter.format.coded(), parameter.spec.name + " is stored in codes");
  const std::size_t element = size_of(parameter.dtype);
  GRIDMILL_ASSERT(elements.first >= 0 && elements.count >= 0 &&
                      elements.end() <= layout::element_count(parameter.spec.shape) &&
                      out.size() == static_cast<std::size_t>(elements.count) * element,
                  "reading outside of parameter " + parameter.spec.name);
  impl_->bytes_read += out.size();
  read_exactly(impl_->file, parameter.offset + static_cast<std::uint64_t>(elements.first) * element,
               out, impl_->path);
}

std::string CheckpointFile::description_hash() const {
  ContentHash hash;
  const auto add = [&hash](const std::string& text) {
    hash.update(std::to_string(text.size()) + ":");
    hash.update(text);
  };
  add(impl_->hash);
  add(impl_->tokenizer_kind);
  add(impl_->tokenizer_hash);
  for (const auto& [name, content] : impl_->files) {
    add(name);
    add(content);
  }
  return hash.hex();
}

std::vector<std::string> CheckpointFile::damaged_parameters(std::size_t part,
                                                            std::size_t parts) const {
  std::vector<const StoredParameter*> by_size;
  for (const StoredParameter& parameter : impl_->parameters) by_size.push_back(&parameter);
  std::stable_sort(by_size.begin(), by_size.end(),
                   [](const auto* a, const auto* b) { return a->size_bytes() > b->size_bytes(); });
  std::vector<std::string> damaged;
  std::vector<std::byte> chunk(kChunkBytes);
  for (std::size_t i = part; i < by_size.size(); i += parts) {
    const StoredParameter& parameter = *by_size[i];
    const auto hash_at = [&](std::uint64_t offset, std::uint64_t size) {
      ContentHash hash;
      for (std::uint64_t done = 0; done < size; done += kChunkBytes) {
        const auto some = std::span(chunk).first(
            static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, size - done)));
        read_exactly(impl_->file, offset + done, some, impl_->path);
        hash.update(some);
      }
      return hash.hex();
    };
    std::string hash = hash_at(parameter.offset, value_bytes(parameter));
    if (parameter.format.coded()) {
      hash = layout::joined_hash(hash, hash_at(parameter.scales_offset, scale_bytes(parameter)));
    }
    if (hash != parameter.hash) damaged.push_back(parameter.spec.name);
  }
  return damaged;
}

Json CheckpointFile::summary() const {
  Json parameters = Json::array();
  Json bytes_by_dtype = Json::object();
  std::int64_t elements = 0;
  for (const StoredParameter& parameter : impl_->parameters) {
    const std::string dtype = parameter.type_name();
    parameters.push_back({{"name", parameter.spec.name},
                          {"shape", parameter.spec.shape},
                          {"dtype", dtype},
                          {"hash", parameter.hash}});
    elements += layout::element_count(parameter.spec.shape);
    bytes_by_dtype[dtype] = bytes_by_dtype.value(dtype, std::uint64_t{0}) + parameter.size_bytes();
  }
  Json files = Json::object();
  for (const auto& [name, content] : impl_->files) files[name] = content.size();
  Json summary = {{"format", layout::kFormat},
                  {"format_version", impl_->version},
                  {"file_bytes", impl_->file_bytes},
                  {"hash", impl_->hash},
                  {"model", impl_->model},
                  {"parameter_count", impl_->parameters.size()},
                  {"parameter_elements", elements},
                  {"parameter_bytes", impl_->parameter_bytes},
                  {"bytes_by_dtype", bytes_by_dtype},
                  {"files", files},
                  {"parameters", parameters}};
  if (!impl_->tokenizer_kind.empty()) {
    summary["tokenizer"] = {{"kind", impl_->tokenizer_kind},
                            {"bytes", impl_->tokenizer.size()},
                            {"hash", impl_->tokenizer_hash}};
  }
  return summary;
}

}  // namespace gridmill
