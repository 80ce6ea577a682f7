#include "gridmill/checkpoint/checkpoint_writer.hpp"

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <utility>

#include "checkpoint/layout_detail.hpp"
#include "gridmill/base/content_hash.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/temporary_file.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {

namespace layout = checkpoint_layout;

namespace {

/// HDF5 takes '/' as a step into a group and "." as the group itself.
void check_name(const std::string& name, const std::string& kind) {
  bool good = !name.empty() && name.find('\0') == std::string::npos;
  std::size_t begin = 0;
  while (good && begin <= name.size()) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string component = name.substr(begin, end - begin);
    good = !component.empty() && component != ".";
    begin = end + 1;
  }
  if (!good) {
    throw FormatError(fmt::format(
        "'{}' cannot name a {} in a checkpoint: it has an empty part or a part '.'", name, kind));
  }
}

void check_parameter(const CheckpointDescription::Parameter& parameter) {
  check_name(parameter.spec.name, "parameter");
  const std::vector<std::int64_t>& shape = parameter.spec.shape;
  if (parameter.format.coded()) {
    if (shape.size() != 2 || !layout::is_group(parameter.format.group) ||
        !layout::is_group_block(shape[1], parameter.block)) {
      throw FormatError(fmt::format(
          "parameter {} {} cannot be stored as {}: codes need a matrix, groups of 32, 64 or 128 "
          "inputs, and blocks of all inputs or of an eighth",
          parameter.spec.name, layout::shape_text(shape),
          layout::type_name(parameter.dtype, parameter.format)));
    }
  } else if (parameter.dtype != DType::fp32 && parameter.dtype != DType::bf16) {
    throw FormatError(fmt::format("parameter {} is {}, but a checkpoint stores fp32 or bf16",
                                  parameter.spec.name, name_of(parameter.dtype)));
  }
  for (const std::int64_t extent : parameter.spec.shape) {
    if (extent < 1) {
      throw FormatError(fmt::format("parameter {} has shape {}, but every axis must be >= 1",
                                    parameter.spec.name, layout::shape_text(parameter.spec.shape)));
    }
  }
}

}  // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): the analyser cannot see through Json's move
struct CheckpointWriter::Impl {
  /// One dataset.
  struct Piece {
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t written = 0;
    ContentHash hash;
  };
  struct Filling {
    CheckpointDescription::Parameter parameter;
    Piece values;
    Piece scales;  ///< of codes
  };

  std::string path;
  TemporaryFile file;
  Json model;
  std::vector<Filling> fillings;  ///< in the order of the description
  std::unordered_map<std::string, std::size_t> by_name;
  std::uint64_t hashes_offset = 0;

  void append(const std::string& name, Piece Filling::*member, std::span<const std::byte> bytes);

  explicit Impl(const std::string& output) : path(follow_links(output)), file(path) {}

  [[nodiscard]] static std::string hash_of(const Filling& filling, bool known) {
    const auto of = [known](const Piece& piece) {
      return known ? piece.hash.hex() : layout::placeholder_hash();
    };
    if (!filling.parameter.format.coded()) return of(filling.values);
    return layout::joined_hash(of(filling.values), of(filling.scales));
  }

  [[nodiscard]] bool any_codes() const {
    return std::any_of(fillings.begin(), fillings.end(),
                       [](const Filling& filling) { return filling.parameter.format.coded(); });
  }

  [[nodiscard]] std::vector<layout::HashedParameter> hashed(bool known) const {
    std::vector<layout::HashedParameter> parameters;
    for (const Filling& filling : fillings) {
      parameters.push_back({filling.parameter.spec.name, filling.parameter.spec.shape,
                            layout::type_name(filling.parameter.dtype, filling.parameter.format),
                            hash_of(filling, known)});
    }
    return parameters;
  }

  static void create_datasets(h5::File& h5, const CheckpointDescription::Parameter& parameter) {
    const std::string object = fmt::format("{}/{}", layout::kParameters, parameter.spec.name);
    const std::vector<std::int64_t>& shape = parameter.spec.shape;
    const auto rows = static_cast<std::uint64_t>(shape.empty() ? 1 : shape.front());
    const WeightFormat& format = parameter.format;
    if (!format.coded()) {
      h5.create_dataset(
          object,
          h5::ElementType::of(parameter.dtype == DType::fp32 ? h5::Kind::fp32 : h5::Kind::bf16),
          {shape.begin(), shape.end()});
      return;
    }
    h5.create_dataset(
        object,
        h5::ElementType::of(format.codes == WeightCodes::int8 ? h5::Kind::i8 : h5::Kind::u8),
        {rows, static_cast<std::uint64_t>(code_bytes(format.codes, shape[1]))});
    h5.write_integer_attribute(object, "inputs", shape[1]);
    h5.write_integer_attribute(object, "group", format.group);
    h5.write_integer_attribute(object, "block", parameter.block);
    h5.create_dataset(
        fmt::format("{}/{}", layout::kScales, parameter.spec.name),
        h5::ElementType::of(h5::Kind::fp16),
        {rows, static_cast<std::uint64_t>(groups_in(shape[1], parameter.block, format.group))});
  }

  /// Lays everything out with HDF5; from then on only bytes at known offsets are written.
  void create(const CheckpointDescription& description) {
    h5::File h5 = h5::File::create(file.path());
    h5.write_text_attribute("/", "format", layout::kFormat);
    h5.write_integer_attribute("/", "format_version",
                               any_codes() ? layout::kCodedFormatVersion : layout::kFormatVersion);
    h5.write_text_attribute("/", "model", model.dump());
    h5.create_group(std::string(layout::kFiles));
    for (const auto& [name, content] : description.files) {
      h5.write_text(fmt::format("{}/{}", layout::kFiles, name), content);
    }
    if (!description.tokenizer_kind.empty()) {
      const std::string object(layout::kTokenizer);
      h5.write_text(object, description.tokenizer);
      h5.write_text_attribute(object, "kind", description.tokenizer_kind);
    }
    h5.write_text(std::string(layout::kHashes),
                  layout::hashes_text(layout::placeholder_hash(), hashed(false)));
    h5.create_group(std::string(layout::kParameters));
    if (any_codes()) h5.create_group(std::string(layout::kScales));
    for (const Filling& filling : fillings) create_datasets(h5, filling.parameter);
    h5.close();
  }

  [[nodiscard]] std::uint64_t offset_of(const h5::File& h5, const std::string& object) const {
    const auto offset = h5.dataset(object).offset();
    if (!offset) throw InternalError(fmt::format("{}:{} has no place", file.path(), object));
    return *offset;
  }

  void find_offsets() {
    const h5::File h5 = h5::File::open(file.path());
    hashes_offset = offset_of(h5, std::string(layout::kHashes));
    for (Filling& filling : fillings) {
      const std::string& name = filling.parameter.spec.name;
      filling.values.offset = offset_of(h5, fmt::format("{}/{}", layout::kParameters, name));
      if (filling.parameter.format.coded()) {
        filling.scales.offset = offset_of(h5, fmt::format("{}/{}", layout::kScales, name));
      }
    }
  }
};

CheckpointWriter::CheckpointWriter(const std::string& path, CheckpointDescription description)
    : impl_(std::make_unique<Impl>(path)) {
  impl_->model = description.model;
  for (const auto& [name, content] : description.files) {
    check_name(name, "file");
    if (name.find('/') != std::string::npos) {
      throw FormatError(fmt::format("'{}' cannot name a file in a checkpoint: it has a '/'", name));
    }
  }
  for (CheckpointDescription::Parameter& parameter : description.parameters) {
    check_parameter(parameter);
    if (!impl_->by_name.emplace(parameter.spec.name, impl_->fillings.size()).second) {
      throw FormatError(fmt::format("parameter {} is described twice", parameter.spec.name));
    }
    Impl::Filling& filling = impl_->fillings.emplace_back();
    if (const WeightFormat& format = parameter.format; format.coded()) {
      const auto rows = static_cast<std::uint64_t>(parameter.spec.shape[0]);
      const std::int64_t inputs = parameter.spec.shape[1];
      filling.values.size_bytes =
          rows * static_cast<std::uint64_t>(code_bytes(format.codes, inputs));
      filling.scales.size_bytes =
          rows * static_cast<std::uint64_t>(groups_in(inputs, parameter.block, format.group) *
                                            kScaleBytes);
    } else {
      filling.values.size_bytes =
          static_cast<std::uint64_t>(layout::element_count(parameter.spec.shape)) *
          size_of(parameter.dtype);
    }
    filling.parameter = std::move(parameter);
  }
  try {
    impl_->create(description);
  } catch (const IoError& error) {
    throw OutputError(fmt::format("cannot create {}: {}", impl_->path, error.what()));
  }
  impl_->find_offsets();
}

CheckpointWriter::~CheckpointWriter() = default;
CheckpointWriter::CheckpointWriter(CheckpointWriter&&) noexcept = default;

void CheckpointWriter::Impl::append(const std::string& name, Piece Filling::*member,
                                    std::span<const std::byte> bytes) {
  const auto found = by_name.find(name);
  if (found == by_name.end()) {
    throw FormatError(fmt::format("{} was not announced as a parameter of {}", name, path));
  }
  const CheckpointDescription::Parameter& parameter = fillings[found->second].parameter;
  Piece& piece = fillings[found->second].*member;
  if (bytes.size() > piece.size_bytes - piece.written) {
    throw FormatError(fmt::format("parameter {} {} {} has {} bytes, but {} more than that came",
                                  name, layout::type_name(parameter.dtype, parameter.format),
                                  layout::shape_text(parameter.spec.shape), piece.size_bytes,
                                  bytes.size() - (piece.size_bytes - piece.written)));
  }
  write_exactly(file.descriptor(), piece.offset + piece.written, bytes, file.path());
  piece.hash.update(bytes);
  piece.written += bytes.size();
}

void CheckpointWriter::append(const std::string& name, std::span<const std::byte> bytes) {
  impl_->append(name, &Impl::Filling::values, bytes);
}

void CheckpointWriter::append_scales(const std::string& name, std::span<const std::byte> bytes) {
  impl_->append(name, &Impl::Filling::scales, bytes);
}

void CheckpointWriter::finish() {
  for (const Impl::Filling& filling : impl_->fillings) {
    for (const Impl::Piece* piece : {&filling.values, &filling.scales}) {
      if (piece->written == piece->size_bytes) continue;
      throw FormatError(fmt::format("parameter {} of {} is not complete: {} of {} bytes came",
                                    filling.parameter.spec.name, impl_->path, piece->written,
                                    piece->size_bytes));
    }
  }
  const auto parameters = impl_->hashed(true);
  const std::string text =
      layout::hashes_text(layout::checkpoint_hash(impl_->model, parameters), parameters);
  write_exactly(impl_->file.descriptor(), impl_->hashes_offset, std::as_bytes(std::span(text)),
                impl_->file.path());
  impl_->file.publish();
}

}  // namespace gridmill
