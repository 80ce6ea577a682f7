#include "gridmill/checkpoint/checkpoint_writer.hpp"

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
  if (parameter.dtype != DType::fp32 && parameter.dtype != DType::bf16) {
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
  struct Filling {
    CheckpointDescription::Parameter parameter;
    std::uint64_t offset = 0;
    std::uint64_t size_bytes = 0;
    std::uint64_t written = 0;
    ContentHash hash;
  };

  std::string path;
  TemporaryFile file;
  Json model;
  std::vector<Filling> fillings;  ///< in the order of the description
  std::unordered_map<std::string, std::size_t> by_name;
  std::uint64_t hashes_offset = 0;

  explicit Impl(std::string output) : path(follow_links(output)), file(path) {}

  [[nodiscard]] std::vector<layout::HashedParameter> hashed(bool known) const {
    std::vector<layout::HashedParameter> parameters;
    for (const Filling& filling : fillings) {
      parameters.push_back({filling.parameter.spec.name, filling.parameter.spec.shape,
                            filling.parameter.dtype,
                            known ? filling.hash.hex() : layout::placeholder_hash()});
    }
    return parameters;
  }

  /// Lays everything out with HDF5; from then on only bytes at known offsets are written.
  void create(const CheckpointDescription& description) {
    h5::File h5 = h5::File::create(file.path());
    h5.write_text_attribute("/", "format", layout::kFormat);
    h5.write_integer_attribute("/", "format_version", layout::kFormatVersion);
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
    for (const Filling& filling : fillings) {
      const std::vector<std::int64_t>& shape = filling.parameter.spec.shape;
      h5.create_dataset(
          fmt::format("{}/{}", layout::kParameters, filling.parameter.spec.name),
          h5::ElementType::of(filling.parameter.dtype == DType::fp32 ? h5::Kind::fp32
                                                                     : h5::Kind::bf16),
          {shape.begin(), shape.end()});
    }
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
      filling.offset =
          offset_of(h5, fmt::format("{}/{}", layout::kParameters, filling.parameter.spec.name));
    }
  }
};

CheckpointWriter::CheckpointWriter(std::string path, CheckpointDescription description)
    : impl_(std::make_unique<Impl>(std::move(path))) {
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
    filling.size_bytes = static_cast<std::uint64_t>(layout::element_count(parameter.spec.shape)) *
                         size_of(parameter.dtype);
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

void CheckpointWriter::append(const std::string& name, std::span<const std::byte> bytes) {
  const auto found = impl_->by_name.find(name);
  if (found == impl_->by_name.end()) {
    throw FormatError(fmt::format("{} was not announced as a parameter of {}", name, impl_->path));
  }
  Impl::Filling& filling = impl_->fillings[found->second];
  if (bytes.size() > filling.size_bytes - filling.written) {
    throw FormatError(fmt::format(
        "parameter {} {} {} has {} bytes, but {} more than that came", name,
        name_of(filling.parameter.dtype), layout::shape_text(filling.parameter.spec.shape),
        filling.size_bytes, bytes.size() - (filling.size_bytes - filling.written)));
  }
  write_exactly(impl_->file.descriptor(), filling.offset + filling.written, bytes,
                impl_->file.path());
  filling.hash.update(bytes);
  filling.written += bytes.size();
}

void CheckpointWriter::finish() {
  for (const Impl::Filling& filling : impl_->fillings) {
    if (filling.written != filling.size_bytes) {
      throw FormatError(fmt::format("parameter {} of {} is not complete: {} of {} bytes came",
                                    filling.parameter.spec.name, impl_->path, filling.written,
                                    filling.size_bytes));
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
