#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "checkpoint/packer_detail.hpp"
#include "checkpoint/unit_layout_detail.hpp"
#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/parallel.hpp"
#include "gridmill/params/quantize.hpp"

namespace gridmill::checkpoint_detail {

namespace {

/// Source bytes of one piece of work (in fp32): enough for long reads, little enough for the second
/// cache, through which they pass on their way to the panels, and for sharing among threads.
constexpr std::int64_t kWorkBytes = std::int64_t{1} << 20;

float element(const std::byte* data, DType dtype, std::size_t index) {
  if (dtype == DType::fp32) {
    float value = 0;
    std::memcpy(&value, data + index * sizeof value, sizeof value);
    return value;
  }
  std::uint16_t half = 0;
  std::memcpy(&half, data + index * sizeof half, sizeof half);
  return dtype == DType::bf16 ? bf16_to_fp32(half) : fp16_to_fp32(half);
}

/// Elements from one dtype to another; to bf16 by rounding.
void convert(std::span<const std::byte> data, DType from, DType to, std::span<std::byte> out) {
  const std::size_t count = data.size() / size_of(from);
  for (std::size_t index = 0; index < count; ++index) {
    const float value = element(data.data(), from, index);
    if (to == DType::bf16) {
      const Bf16 half = fp32_to_bf16(value);
      std::memcpy(out.data() + index * sizeof half, &half, sizeof half);
    } else {
      std::memcpy(out.data() + index * sizeof value, &value, sizeof value);
    }
  }
}

}  // namespace

Packer::Packer(const CheckpointFile& file, const ModelParameters& parameters,
               const Backend& backend, ParameterDType cast)
    : file_(file), backend_(backend), cast_(cast) {
  for (const ParameterSpec& spec : parameters.stored) stored_[spec.name] = &file.require(spec);
}

DType Packer::cast_dtype(const StoredParameter& parameter) const {
  switch (cast_) {
    case ParameterDType::bf16:
      return DType::bf16;
    case ParameterDType::fp32:
      return DType::fp32;
    case ParameterDType::checkpoint:
      break;
  }
  return parameter.dtype;
}

DType Packer::packed_dtype(const MatrixSpec& matrix) const {
  const DType first = cast_dtype(*stored_.at(matrix.parts.front().parameter));
  for (const MatrixPart& part : matrix.parts) {
    if (cast_dtype(*stored_.at(part.parameter)) != first) return DType::fp32;  // holds both exactly
  }
  return first;
}

void Packer::add(const MatrixSpec& matrix, IndexRange panels, std::byte* target) {
  if (panels.count == 0) return;
  const std::size_t panel_bytes = backend_.panel_bytes(matrix.shape, matrix.layout);
  const std::int64_t source_bytes =
      std::max<std::int64_t>(1, panel_width(matrix, backend_) * matrix.shape.inputs * 4);
  const std::int64_t piece = std::max<std::int64_t>(1, kWorkBytes / source_bytes);
  for (std::int64_t done = 0; done < panels.count; done += piece) {
    panels_.push_back({&matrix,
                       {panels.first + done, std::min(piece, panels.count - done)},
                       target + static_cast<std::size_t>(done) * panel_bytes});
  }
}

void Packer::add(const VectorSpec& vector, IndexRange elements, std::byte* target) {
  if (elements.count > 0) vectors_.push_back({&vector, elements, target});
}

void Packer::run(int threads) {
  run_parallel(threads, panels_.size() + vectors_.size(),
               [this, buffers = PieceBuffers()](std::size_t index) mutable {
                 buffers.reuse();
                 if (index < panels_.size()) {
                   pack(panels_[index], buffers);
                 } else {
                   fill(vectors_[index - panels_.size()], buffers);
                 }
               });
  panels_.clear();
  vectors_.clear();
}

std::span<const std::byte> Packer::cast(std::span<const std::byte> data, DType from, DType to,
                                        PieceBuffers& buffers) {
  if (from == to) return data;
  const std::span<std::byte> out = buffers.take(data.size() / size_of(from) * size_of(to));
  convert(data, from, to, out);
  return out;
}

std::span<const std::byte> Packer::read(const StoredParameter& parameter, IndexRange rows,
                                        IndexRange columns, DType dtype,
                                        PieceBuffers& buffers) const {
  if (parameter.format.coded()) {
    const DType own = cast_dtype(parameter);
    return cast(
        cast(read_dequantized(parameter, rows, columns, buffers), DType::fp32, own, buffers), own,
        dtype, buffers);
  }
  const std::span<std::byte> stored =
      buffers.take(static_cast<std::size_t>(rows.count * columns.count) * size_of(parameter.dtype));
  file_.read(parameter, rows, columns, stored);
  // The cast comes first, whatever the matrix is packed from: bf16 rounds, also on the way to fp32.
  const DType own = cast_dtype(parameter);
  return cast(cast(stored, parameter.dtype, own, buffers), own, dtype, buffers);
}

std::span<const std::byte> Packer::read_coded(const MatrixSpec& matrix, const MatrixPart& part,
                                              IndexRange rows, PieceBuffers& buffers) const {
  const StoredParameter& parameter = *stored_.at(part.parameter);
  const auto width = static_cast<std::size_t>(part.columns.count);
  const std::int64_t groups = matrix.shape.groups();
  const auto scale_bytes = static_cast<std::size_t>(groups * kScaleBytes);
  const auto count = static_cast<std::size_t>(rows.count);
  const std::span<std::byte> codes = buffers.take(count * width);
  const std::span<std::byte> scales = buffers.take(count * scale_bytes);
  file_.read_codes(parameter, rows, part.columns, codes);
  file_.read_scales(
      parameter, rows,
      {groups_in(part.columns.first, parameter.block, parameter.format.group), groups}, scales);
  const std::span<std::byte> joined = buffers.take(codes.size() + scales.size());
  for (std::size_t row = 0; row < count; ++row) {
    std::byte* to = joined.data() + row * (width + scale_bytes);
    std::memcpy(to, codes.data() + row * width, width);
    std::memcpy(to + width, scales.data() + row * scale_bytes, scale_bytes);
  }
  return joined;
}

std::span<const std::byte> Packer::read_dequantized(const StoredParameter& parameter,
                                                    IndexRange rows, IndexRange columns,
                                                    PieceBuffers& buffers) const {
  const WeightFormat& format = parameter.format;
  if (columns.count > 0 && columns.first % parameter.block != 0) {
    throw FormatError(
        fmt::format("{}: its groups restart after {} inputs, so that tp cannot cut it at input {}; "
                    "use --tp 1, or convert the model again",
                    parameter.spec.name, parameter.block, columns.first));
  }
  const std::int64_t first_group = groups_in(columns.first, parameter.block, format.group);
  const std::int64_t groups = groups_in(columns.end(), parameter.block, format.group) - first_group;
  const auto width = static_cast<std::size_t>(columns.count);
  const auto count = static_cast<std::size_t>(rows.count);
  const std::span<std::byte> codes = buffers.take(count * width);
  const std::span<std::byte> scales =
      buffers.take(count * static_cast<std::size_t>(groups * kScaleBytes));
  file_.read_codes(parameter, rows, columns, codes);
  file_.read_scales(parameter, rows, {first_group, groups}, scales);
  const std::span<std::byte> values = buffers.take(count * width * sizeof(float));
  std::vector<std::uint16_t> row_scales(static_cast<std::size_t>(groups));
  std::vector<float> row_values(width);
  const std::size_t scale_bytes = row_scales.size() * sizeof(std::uint16_t);
  for (std::size_t row = 0; row < count; ++row) {
    if (scale_bytes > 0) {
      std::memcpy(row_scales.data(), scales.data() + row * scale_bytes, scale_bytes);
    }
    dequantize_row(codes.subspan(row * width, width), row_scales, format, parameter.block,
                   row_values);
    if (width > 0) {
      std::memcpy(values.data() + row * width * sizeof(float), row_values.data(),
                  width * sizeof(float));
    }
  }
  return values;
}

void Packer::pack(const PanelWork& work, PieceBuffers& buffers) const {
  const MatrixSpec& matrix = *work.matrix;
  const std::int64_t width = panel_width(matrix, backend_);
  std::vector<IndexRange> rows(matrix.parts.size());  // of each part, over all these panels
  for (std::int64_t panel = 0; panel < work.panels.count; ++panel) {
    for (const PanelSource& source : panel_sources(matrix, width, work.panels.first + panel)) {
      IndexRange& range = rows[source.part];
      if (range.count == 0) range.first = source.rows.first;
      range.count = source.rows.end() - range.first;  // panels ascend, and so do a part's rows
    }
  }
  const bool coded = matrix.shape.format.coded();
  const DType dtype = coded ? DType::fp32 : packed_dtype(matrix);
  std::vector<std::span<const std::byte>> data(matrix.parts.size());
  for (std::size_t index = 0; index < matrix.parts.size(); ++index) {
    const MatrixPart& part = matrix.parts[index];
    GRIDMILL_ASSERT(part.columns.count == matrix.shape.inputs,
                    "part " + part.parameter + " of " + matrix.name + " has other inputs");
    if (rows[index].count == 0) continue;
    data[index] =
        coded ? read_coded(matrix, part, rows[index], buffers)
              : read(*stored_.at(part.parameter), rows[index], part.columns, dtype, buffers);
  }
  const std::int64_t row_bytes =
      coded ? matrix.shape.coded_row_bytes()
            : matrix.shape.inputs * static_cast<std::int64_t>(size_of(dtype));
  pack_rows(work, dtype, rows, data, static_cast<std::size_t>(row_bytes));
}

void Packer::pack_rows(const PanelWork& work, DType dtype, std::span<const IndexRange> rows,
                       std::span<const std::span<const std::byte>> data,
                       std::size_t row_bytes) const {
  const MatrixSpec& matrix = *work.matrix;
  const std::int64_t width = panel_width(matrix, backend_);
  const std::size_t panel_bytes = backend_.panel_bytes(matrix.shape, matrix.layout);
  std::vector<const std::byte*> lanes(static_cast<std::size_t>(width));
  for (std::int64_t panel = 0; panel < work.panels.count; ++panel) {
    std::fill(lanes.begin(), lanes.end(), nullptr);
    for (const PanelSource& source : panel_sources(matrix, width, work.panels.first + panel)) {
      const std::byte* first =
          data[source.part].data() +
          static_cast<std::size_t>(source.rows.first - rows[source.part].first) * row_bytes;
      for (std::int64_t row = 0; row < source.rows.count; ++row) {
        lanes[static_cast<std::size_t>(source.lane + row)] =
            first + static_cast<std::size_t>(row) * row_bytes;
      }
    }
    backend_.pack_panel(matrix.shape, matrix.layout, dtype, lanes,
                        {work.target + static_cast<std::size_t>(panel) * panel_bytes, panel_bytes});
  }
}

void Packer::fill(const VectorWork& work, PieceBuffers& buffers) const {
  std::int64_t begin = 0;  // of the part, in the vector
  for (const VectorPart& part : work.vector->parts) {
    const std::int64_t first = std::max(begin, work.elements.first);
    const std::int64_t last = std::min(begin + part.elements.count, work.elements.end());
    if (first < last) {
      std::byte* target =
          work.target + static_cast<std::size_t>(first - work.elements.first) * sizeof(float);
      const std::size_t bytes = static_cast<std::size_t>(last - first) * sizeof(float);
      if (part.parameter.empty()) {
        std::memset(target, 0, bytes);
      } else {
        const StoredParameter& parameter = *stored_.at(part.parameter);
        const IndexRange elements{part.elements.first + first - begin, last - first};
        const std::span<std::byte> stored =
            buffers.take(static_cast<std::size_t>(elements.count) * size_of(parameter.dtype));
        file_.read_elements(parameter, elements, stored);
        const DType own = cast_dtype(parameter);
        const std::span<const std::byte> values =
            cast(cast(stored, parameter.dtype, own, buffers), own, DType::fp32, buffers);
        std::memcpy(target, values.data(), bytes);
      }
    }
    begin += part.elements.count;
  }
}

}  // namespace gridmill::checkpoint_detail
