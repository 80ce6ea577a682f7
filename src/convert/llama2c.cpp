#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "convert/file_tensor_detail.hpp"
#include "convert/foreign_model_detail.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::convert_detail {

namespace {

constexpr std::uint32_t kMagic = 0x616B3432;      // "ak42"
constexpr std::uint64_t kLegacyHeaderBytes = 28;  // seven int32
constexpr std::uint64_t kHeaderBytes = 256;

/// Fields of the header of any version.
struct Header {
  int version = 0;
  std::int64_t dim = 0;
  std::int64_t hidden_dim = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t vocab_size = 0;
  std::int64_t seq_len = 0;
  bool shared_output = false;
  std::int64_t group_size = 0;  ///< version 2: values that share a scale
  [[nodiscard]] std::int64_t head_dim() const { return dim / heads; }
};

template <typename T>
T read_value(const FileDescriptor& file, std::uint64_t offset, const std::string& path) {
  T value{};
  read_exactly(file, offset, std::as_writable_bytes(std::span(&value, 1)), path);
  return value;
}

void check_header(const Header& header, const std::string& path) {
  // Larger than any model of this format; keeps every product of two within 64 bits.
  constexpr std::int64_t kLargest = 1 << 28;
  const std::array<std::pair<const char*, std::int64_t>, 7> fields = {{
      {"dim", header.dim},
      {"hidden_dim", header.hidden_dim},
      {"n_layers", header.layers},
      {"n_heads", header.heads},
      {"n_kv_heads", header.kv_heads},
      {"vocab_size", header.vocab_size},
      {"seq_len", header.seq_len},
  }};
  for (const auto& [name, value] : fields) {
    if (value < 1 || value > kLargest) {
      throw FormatError(
          fmt::format("{}: {} is {} in the header of a llama2.c model, expected 1 to "
                      "{}; is it a llama2.c model?",
                      path, name, value, kLargest));
    }
  }
  if (header.dim % header.heads != 0 || header.head_dim() % 2 != 0 ||
      header.heads % header.kv_heads != 0 || header.layers > kMostLayers) {
    throw FormatError(fmt::format(
        "{}: the header says dim {}, n_layers {}, n_heads {}, n_kv_heads {}, which do not fit "
        "together; is it a llama2.c model?",
        path, header.dim, header.layers, header.heads, header.kv_heads));
  }
  if (header.version == 2 && (header.group_size < 1 || header.dim % header.group_size != 0)) {
    throw FormatError(fmt::format("{}: group size {} does not divide dim {}", path,
                                  header.group_size, header.dim));
  }
}

Header read_header(const FileDescriptor& file, const std::string& path) {
  const std::uint64_t size = file_size(file, path);
  if (size < kLegacyHeaderBytes) {
    throw FormatError(
        fmt::format("{} has {} bytes, too few for the header of a llama2.c model", path, size));
  }
  Header header;
  std::uint64_t offset = 0;
  const bool versioned = read_value<std::uint32_t>(file, 0, path) == kMagic;
  if (versioned) {
    if (size < kHeaderBytes) {
      throw FormatError(fmt::format("{} has {} bytes, expected a header of {}; is it cut short?",
                                    path, size, kHeaderBytes));
    }
    header.version = read_value<std::int32_t>(file, 4, path);
    if (header.version != 1 && header.version != 2) {
      throw FormatError(fmt::format("{}: llama2.c version {} is unsupported; expected 1 or 2", path,
                                    header.version));
    }
    offset = 8;
  }
  for (std::int64_t* field : {&header.dim, &header.hidden_dim, &header.layers, &header.heads,
                              &header.kv_heads, &header.vocab_size, &header.seq_len}) {
    *field = read_value<std::int32_t>(file, offset, path);
    offset += 4;
  }
  if (versioned) {
    const auto shared = read_value<std::uint8_t>(file, offset, path);
    if (shared > 1) {
      throw FormatError(
          fmt::format("{}: the flag for a shared output is {}, expected 0 or 1", path, shared));
    }
    header.shared_output = shared == 1;
    if (header.version == 2) header.group_size = read_value<std::int32_t>(file, offset + 1, path);
  } else {
    header.shared_output = header.vocab_size > 0;
    header.vocab_size = std::abs(header.vocab_size);
  }
  check_header(header, path);
  return header;
}

/// int8 values followed by a float32 scale for every group of consecutive ones.
class GroupedTensor final : public ForeignTensor {
 public:
  GroupedTensor(std::string name, std::string path, Extents shape, std::int64_t group_size,
                FileRange range)
      : ForeignTensor(std::move(name), std::move(path), std::move(shape), "int8 groups"),
        group_size_(group_size),
        range_(std::move(range)) {}

  [[nodiscard]] bool floating() const override { return true; }
  [[nodiscard]] DType stored_as() const override { return DType::fp32; }
  void read(std::int64_t first, std::span<float> out) const override {
    if (out.empty()) return;
    std::vector<std::int8_t> values(out.size());
    read_exactly(*range_.file, range_.offset + static_cast<std::uint64_t>(first),
                 std::as_writable_bytes(std::span(values)), file());
    const std::int64_t first_group = first / group_size_;
    const std::int64_t last = first + static_cast<std::int64_t>(out.size()) - 1;
    std::vector<float> scales(static_cast<std::size_t>(last / group_size_ - first_group + 1));
    const std::int64_t behind_values =
        element_count(shape()) + first_group * static_cast<std::int64_t>(sizeof(float));
    read_exactly(*range_.file, range_.offset + static_cast<std::uint64_t>(behind_values),
                 std::as_writable_bytes(std::span(scales)), file());
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::int64_t group = (first + static_cast<std::int64_t>(i)) / group_size_;
      out[i] =
          static_cast<float>(values[i]) * scales[static_cast<std::size_t>(group - first_group)];
    }
  }

 private:
  std::int64_t group_size_;
  FileRange range_;
};

/// Walks through the arrays of a file in order.
class Llama2cLayout {
 public:
  Llama2cLayout(const Header& header, std::string path, std::shared_ptr<const FileDescriptor> file,
                ForeignTensors& tensors)
      : header_(header), path_(std::move(path)), file_(std::move(file)), tensors_(tensors) {
    offset_ = header.version == 0 ? kLegacyHeaderBytes : kHeaderBytes;
  }

  void norm(const std::string& name) { add(name, {header_.dim}, 0); }
  void norms(const std::string& name) {
    for (std::int64_t layer = 0; layer < header_.layers; ++layer) {
      norm(fmt::format("{}.{}", name, layer));
    }
  }
  void matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    add(name, {rows, columns}, header_.group_size);
  }
  void matrices(const std::string& name, std::int64_t rows, std::int64_t columns) {
    for (std::int64_t layer = 0; layer < header_.layers; ++layer) {
      matrix(fmt::format("{}.{}", name, layer), rows, columns);
    }
  }
  void skip_floats(std::int64_t count) { advance(count * 4); }
  /// @throws FormatError unless the file ends here.
  void finish() const {
    const std::uint64_t size = file_size(*file_, path_);
    if (size == offset_) return;
    throw FormatError(fmt::format(
        "{} has {} bytes, expected {} for version {} with dim {}, hidden_dim {}, n_layers {}, "
        "n_heads {}, n_kv_heads {}, vocab_size {}, seq_len {}, {} output; it is {}",
        path_, size, offset_, header_.version, header_.dim, header_.hidden_dim, header_.layers,
        header_.heads, header_.kv_heads, header_.vocab_size, header_.seq_len,
        header_.shared_output ? "shared" : "separate",
        size < offset_ ? "cut short, or no llama2.c model"
                       : "too long, or another kind of llama2.c model"));
  }

 private:
  void add(const std::string& name, Extents shape, std::int64_t group_size) {
    const std::int64_t count = element_count(shape);
    FileRange range{.file = file_, .offset = offset_};
    if (group_size == 0) {
      tensors_.add(std::make_unique<FileTensor>(name, path_, std::move(shape), "float32",
                                                NumberFormat::fp32, std::move(range)));
    } else {
      tensors_.add(std::make_unique<GroupedTensor>(name, path_, std::move(shape), group_size,
                                                   std::move(range)));
    }
    advance(group_size == 0 ? count * 4 : count + count / group_size * 4);
  }
  /// @param bytes  at most 2^59: extents are at most 2^28.
  void advance(std::int64_t bytes) {
    if (offset_ > std::uint64_t{std::numeric_limits<std::int64_t>::max()} / 2) {
      throw FormatError(path_ +
                        ": the header asks for more bytes than any file has; is it a "
                        "llama2.c model?");
    }
    offset_ += static_cast<std::uint64_t>(bytes);
  }

  const Header& header_;
  std::string path_;
  std::shared_ptr<const FileDescriptor> file_;
  ForeignTensors& tensors_;
  std::uint64_t offset_ = 0;
};

void add_tensors(const Header& header, const std::string& path,
                 const std::shared_ptr<const FileDescriptor>& file, ForeignTensors& tensors) {
  const std::int64_t dim = header.dim;
  const std::int64_t kv_dim = header.kv_heads * header.head_dim();
  Llama2cLayout layout(header, path, file, tensors);
  const bool legacy = header.version == 0;
  if (legacy) layout.matrix("token_embedding", header.vocab_size, dim);
  layout.norms("rms_att");
  if (!legacy) {
    layout.norms("rms_ffn");
    layout.norm("rms_final");
    layout.matrix("token_embedding", header.vocab_size, dim);
  }
  layout.matrices("wq", dim, dim);
  layout.matrices("wk", kv_dim, dim);
  layout.matrices("wv", kv_dim, dim);
  layout.matrices("wo", dim, dim);
  if (legacy) layout.norms("rms_ffn");
  layout.matrices("w1", header.hidden_dim, dim);
  layout.matrices("w2", dim, header.hidden_dim);
  layout.matrices("w3", header.hidden_dim, dim);
  if (legacy) {
    layout.norm("rms_final");
    layout.skip_floats(header.seq_len * header.head_dim());  // two rotary tables, unused
  }
  if (!header.shared_output) layout.matrix("wcls", header.vocab_size, dim);
  layout.finish();
}

Json model_of(const Header& header) {
  // run.c ends a text at token 1, which also begins one; 2 is the end token of its tokenizer.
  Json eod_ids = Json::array();
  for (const std::int64_t id : {1, 2}) {
    if (id < header.vocab_size) eod_ids.push_back(id);
  }
  return {
      {"family", "llama"},
      {"vocab_size", header.vocab_size},
      {"hidden_size", header.dim},
      {"intermediate_size", header.hidden_dim},
      {"layers", header.layers},
      {"heads", header.heads},
      {"kv_heads", header.kv_heads},
      {"head_dim", header.head_dim()},
      {"norm_eps", 1e-5},  // fixed in run.c
      {"logit_soft_cap", 0},
      {"max_length", header.seq_len},
      {"tied", header.shared_output},
      {"qkv_bias", false},
      {"out_bias", false},
      {"mlp_bias", false},
      {"qk_norm", false},
      {"windows", Json::array()},
      {"activation", "silu"},
      {"rotary", {{"type", "default"}, {"theta", 10000.0}}},  // fixed in run.c
      {"bos_id", header.vocab_size > 1 ? 1 : -1},
      {"eod_ids", std::move(eod_ids)},
  };
}

ParameterTake take_from_llama2c(const ParameterSpec& spec, std::int64_t head_dim) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kNames = {{
      {"embedding", "token_embedding"},
      {"final_norm", "rms_final"},
      {"head", "wcls"},
      {"attention_norm", "rms_att"},
      {"ffn_norm", "rms_ffn"},
      {"q", "wq"},
      {"k", "wk"},
      {"v", "wv"},
      {"o", "wo"},
      {"gate", "w1"},
      {"down", "w2"},
      {"up", "w3"},
  }};
  const auto [layer, leaf] = split_parameter_name(spec.name);
  for (const auto& [ours, theirs] : kNames) {
    if (leaf != ours) continue;
    ParameterTake take =
        take_whole(layer ? fmt::format("{}.{}", theirs, *layer) : std::string(theirs), spec);
    if (leaf == "q" || leaf == "k") take.rotary_width = head_dim;
    return take;
  }
  throw_no_source(spec.name);
}

}  // namespace

ForeignModel open_llama2c(const std::string& path) {
  const auto file = std::make_shared<const FileDescriptor>(open_for_reading(path));
  const Header header = read_header(*file, path);
  ForeignModel foreign;
  foreign.kind = "llama2.c";
  foreign.where = path;
  foreign.model = model_of(header);
  add_tensors(header, path, file, foreign.tensors);
  foreign.take = [head_dim = header.head_dim()](const ParameterSpec& spec,
                                                const ForeignTensors& /*tensors*/) {
    return take_from_llama2c(spec, head_dim);
  };
  return foreign;
}

}  // namespace gridmill::convert_detail
