#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "convert/file_tensor_detail.hpp"
#include "convert/xlstm_jax_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/h5/examination.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill::convert_detail {

namespace {

/// The rows that were read last from a file of chunked or compressed datasets: one for all of its
/// tensors, so memory stays that of the largest row.
struct RowCache {
  const void* owner = nullptr;
  std::uint64_t first_row = 0;
  std::vector<float> values;
};

/// A dataset that does not lie in the file as it is (chunks, filters, another byte order).
class ConvertedDataset final : public ForeignTensor {
 public:
  ConvertedDataset(std::string name, std::string path, Extents shape, h5::Dataset dataset,
                   bool floating, std::shared_ptr<RowCache> cache)
      : ForeignTensor(std::move(name), std::move(path), std::move(shape),
                      h5::name_of(dataset.type())),
        dataset_(std::move(dataset)),
        floating_(floating),
        cache_(std::move(cache)) {}

  [[nodiscard]] bool floating() const override { return floating_; }
  [[nodiscard]] DType stored_as() const override {
    return dataset_.type().kind == h5::Kind::bf16 ? DType::bf16 : DType::fp32;
  }
  void read(std::int64_t first, std::span<float> out) const override {
    auto position = static_cast<std::uint64_t>(first);
    const std::uint64_t row_elements = dataset_.row_elements();
    while (!out.empty()) {
      fetch(position / row_elements);
      const std::uint64_t inside = position - cache_->first_row * row_elements;
      const std::size_t count = std::min(out.size(), cache_->values.size() - inside);
      std::copy_n(cache_->values.begin() + static_cast<std::ptrdiff_t>(inside), count, out.begin());
      out = out.subspan(count);
      position += count;
    }
  }

 private:
  /// Makes the cache hold `row`, with as many rows behind it as make reading worth while.
  void fetch(std::uint64_t row) const {
    constexpr std::uint64_t kWorthWhile = std::uint64_t{4} << 20;  // elements
    const std::uint64_t row_elements = dataset_.row_elements();
    const std::uint64_t held = cache_->values.size() / row_elements;
    if (cache_->owner == this && row >= cache_->first_row && row < cache_->first_row + held) return;
    const std::uint64_t rows = dataset_.shape().empty() ? 1 : dataset_.shape()[0];
    const std::uint64_t count =
        std::min(rows - row, std::max<std::uint64_t>(1, kWorthWhile / row_elements));
    cache_->owner = nullptr;
    cache_->values = {};  // not two at a time
    cache_->values = dataset_.read_rows_as<float>(row, count);
    cache_->first_row = row;
    cache_->owner = this;
  }

  h5::Dataset dataset_;
  bool floating_;
  std::shared_ptr<RowCache> cache_;
};

NumberFormat format_of(h5::Kind kind) {
  if (kind == h5::Kind::fp32) return NumberFormat::fp32;
  if (kind == h5::Kind::fp16) return NumberFormat::fp16;
  if (kind == h5::Kind::bf16) return NumberFormat::bf16;
  if (kind == h5::Kind::fp64) return NumberFormat::fp64;
  return NumberFormat::integer;
}

std::string read_root_text(const h5::File& file, const std::string& name) {
  if (!file.has_attribute("/", name)) {
    throw FormatError(fmt::format(
        "{}: the root attribute {} is missing; an xlstm-jax parameter file has config (JSON), "
        "model_class and the arrays under /params",
        file.path(), name));
  }
  return file.read_text_attribute("/", name);
}

}  // namespace

void add_flax_parameters(const h5::File& file, ForeignTensors& tensors) {
  const std::string root = "/params";
  if (!file.exists(root)) {
    throw FormatError(file.path() +
                      ": the group /params is missing; an xlstm-jax parameter file keeps its "
                      "arrays there, under their Flax paths");
  }
  const auto handle = std::make_shared<const FileDescriptor>(open_for_reading(file.path()));
  const auto cache = std::make_shared<RowCache>();
  for (const h5::Link& link : file.links(root)) {
    if (link.kind != h5::LinkKind::dataset) continue;
    std::string name = link.path.substr(root.size() + 1);
    // Orbax names the array of a partitioned parameter so.
    constexpr std::string_view kBox = "/value";
    if (name.ends_with(kBox)) name.resize(name.size() - kBox.size());
    h5::Dataset dataset = file.dataset(link.path);
    Extents shape;
    for (const std::uint64_t extent : dataset.shape()) {
      shape.push_back(static_cast<std::int64_t>(extent));
    }
    const NumberFormat format = format_of(dataset.type().kind);
    if (dataset.offset()) {
      tensors.add(std::make_unique<FileTensor>(
          std::move(name), file.path(), std::move(shape), h5::name_of(dataset.type()), format,
          FileRange{.file = handle, .offset = *dataset.offset()}));
    } else {
      tensors.add(std::make_unique<ConvertedDataset>(std::move(name), file.path(), std::move(shape),
                                                     std::move(dataset),
                                                     format != NumberFormat::integer, cache));
    }
  }
}

ForeignModel open_xlstm_jax(const std::string& path) {
  h5::examine(path);
  const h5::File file = h5::File::open(path);
  if (file.has_attribute("/", "format")) {
    throw FormatError(fmt::format("{} is a file of the format {}, not an xlstm-jax parameter file",
                                  path, file.read_text_attribute("/", "format")));
  }
  ForeignModel foreign;
  foreign.kind = "xlstm-jax";
  foreign.where = path;
  const std::string config_text = read_root_text(file, "config");
  const std::string model_class = read_root_text(file, "model_class");
  foreign.files["config.json"] = config_text;

  const std::string where = path + ": attribute config";
  const Json config_json = parse_json(config_text, where);
  ConfigFields config(config_json, where);
  const bool xlstm = model_class.find("xLSTM") != std::string::npos;
  if (!xlstm && model_class.find("Llama") == std::string::npos) {
    throw FormatError(
        fmt::format("{}: model_class {} is unsupported; supported are xLSTMLMModelConfig and "
                    "LlamaConfig",
                    path, model_class));
  }
  FlaxLayout layout;
  foreign.model = xlstm ? flax_xlstm_model(config, layout) : flax_llama_model(config, layout);
  config.refuse_unread();
  add_flax_parameters(file, foreign.tensors);
  foreign.take = [model = foreign.model, layout, xlstm](const ParameterSpec& spec,
                                                        const ForeignTensors& tensors) {
    const FlaxTakes takes(tensors, layout);
    return xlstm ? take_from_flax_xlstm(spec, model, takes)
                 : take_from_flax_llama(spec, model, takes);
  };
  return foreign;
}

}  // namespace gridmill::convert_detail
