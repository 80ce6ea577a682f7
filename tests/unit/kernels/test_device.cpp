#include "unit/kernels/test_device.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <ios>
#include <limits>
#include <numeric>

#include "gridmill/base/fp16.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill::testing {

namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
constexpr std::size_t kGuardBytes = 192;
constexpr std::size_t kAlignment = 64;  // what models align to inside a buffer
constexpr auto kGuardByte = std::byte{0xA5};
constexpr std::int64_t kGuardColumns = 3;
constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

/// The values as a checkpoint of `dtype` stores them.
std::vector<std::byte> stored(const Matrix& values, DType dtype) {
  std::vector<std::byte> bytes(values.flat().size() * size_of(dtype));
  for (std::size_t i = 0; i < values.flat().size(); ++i) {
    const float value = values.flat()[i];
    if (dtype == DType::fp32) {
      std::memcpy(bytes.data() + 4 * i, &value, 4);
    } else {
      const std::uint16_t half = dtype == DType::bf16 ? fp32_to_bf16(value) : fp32_to_fp16(value);
      std::memcpy(bytes.data() + 2 * i, &half, 2);
    }
  }
  return bytes;
}

/// Rows of codes as Backend::pack_panel takes them: the largest value of a group gets the largest
/// code.
std::vector<std::byte> stored_codes(const Matrix& values, const MatrixShape& shape) {
  const float most = shape.format.codes == WeightCodes::int8 ? 127.0F : 7.0F;
  std::vector<std::byte> bytes;
  for (std::int64_t row = 0; row < values.extent(0); ++row) {
    std::vector<std::byte> codes;
    std::vector<std::byte> scales;
    for (std::int64_t block = 0; block < shape.inputs; block += shape.group_block()) {
      const std::int64_t block_end = std::min(shape.inputs, block + shape.group_block());
      for (std::int64_t begin = block; begin < block_end; begin += shape.format.group) {
        const std::int64_t end = std::min(block_end, begin + shape.format.group);
        float largest = 0;
        for (std::int64_t k = begin; k < end; ++k) {
          largest = std::max(largest, std::fabs(values(row, k)));
        }
        const std::uint16_t scale = fp32_to_fp16(largest / most);
        const float step = fp16_to_fp32(scale);
        for (std::int64_t k = begin; k < end; ++k) {
          const float code = step == 0.0F ? 0.0F : std::nearbyint(values(row, k) / step);
          codes.push_back(
              static_cast<std::byte>(static_cast<std::int8_t>(std::clamp(code, -most, most))));
        }
        scales.push_back(static_cast<std::byte>(scale & 0xFFU));
        scales.push_back(static_cast<std::byte>(scale >> 8U));
      }
    }
    bytes.insert(bytes.end(), codes.begin(), codes.end());
    bytes.insert(bytes.end(), scales.begin(), scales.end());
  }
  return bytes;
}

MatrixSpec spec_of(const WeightOptions& options) {
  const MatrixShape& shape = options.shape;
  MatrixSpec spec{
      .name = "w", .parts = {}, .shape = shape, .fuse = options.fuse, .layout = options.layout};
  const std::int64_t parts = options.fuse == Fuse::interleave ? 2 : 1;
  const std::int64_t rows = shape.outputs / parts;
  for (std::int64_t part = 0; part < parts; ++part) {
    spec.parts.push_back({"w", {part * rows, rows}, {0, shape.inputs}});
  }
  return spec;
}

}  // namespace

float Numbers::next(float scale) {
  const auto mantissa = static_cast<float>(engine_() >> 8) * 0x1p-23F - 1.0F;
  return std::ldexp(mantissa, static_cast<int>(engine_() % 8) - 6) * scale;
}

std::vector<float> Numbers::vector(std::int64_t size, float scale) {
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& value : values) value = next(scale);
  return values;
}

Matrix Numbers::matrix(std::int64_t rows, std::int64_t columns, float scale) {
  Matrix values({rows, columns});
  for (float& value : values.flat()) value = next(scale);
  return values;
}

TestDevice::TestDevice(std::unique_ptr<Backend> backend)
    : backend_(std::move(backend)), stream_(backend_->make_stream()) {}

TestDevice::~TestDevice() = default;

std::byte* TestDevice::allocate(std::size_t size_bytes) {
  const std::size_t whole =
      (size_bytes + 2 * kGuardBytes + kAlignment - 1) / kAlignment * kAlignment;
  if (chunks_.empty() || chunks_.back().used_bytes + whole > chunks_.back().memory.size_bytes()) {
    chunks_.push_back({backend_->allocate(std::max(whole, kChunkBytes))});
  }
  Chunk& chunk = chunks_.back();
  std::byte* begin = chunk.memory.data() + chunk.used_bytes;
  const std::vector<std::byte> guards(whole, kGuardByte);
  backend_->upload(*stream_, guards, begin);
  chunk.cut.emplace_back(chunk.used_bytes + kGuardBytes, size_bytes);
  chunk.used_bytes += whole;
  return begin + kGuardBytes;
}

void TestDevice::upload(const void* host, std::size_t size_bytes, std::byte* device) {
  backend_->upload(*stream_, {static_cast<const std::byte*>(host), size_bytes}, device);
}

void TestDevice::download(const void* device, std::size_t size_bytes, void* host) {
  backend_->download(*stream_, static_cast<const std::byte*>(device),
                     {static_cast<std::byte*>(host), size_bytes});
  stream_->synchronize();
}

DeviceMatrix TestDevice::matrix(const Matrix& values) {
  const std::int64_t rows = values.extent(0);
  const std::int64_t columns = values.extent(1);
  const std::int64_t stride = columns + kGuardColumns;
  Matrix padded({rows, stride}, kUnwritten);
  for (std::int64_t row = 0; row < rows; ++row) {
    std::copy_n(values.view().row(row).begin(), columns, padded.view().row(row).begin());
  }
  const std::size_t size_bytes = padded.flat().size() * sizeof(float);
  std::byte* data = allocate(size_bytes);
  upload(padded.flat().data(), size_bytes, data);
  matrices_.push_back({reinterpret_cast<float*>(data), rows, columns, stride});
  return matrices_.back();
}

DeviceMatrix TestDevice::matrix(std::int64_t rows, std::int64_t columns) {
  return matrix(Matrix({rows, columns}, kUnwritten));
}

ConstDeviceVector TestDevice::vector(const std::vector<float>& values) {
  if (values.empty()) return {};
  std::byte* data = allocate(values.size() * sizeof(float));
  upload(values.data(), values.size() * sizeof(float), data);
  return {reinterpret_cast<const float*>(data), static_cast<std::int64_t>(values.size())};
}

PackedRows TestDevice::packed(std::int64_t rows, std::int64_t inputs) {
  return {allocate(backend_->packed_bytes(rows, inputs)), rows, inputs};
}

PackedRows TestDevice::pack(const Matrix& values) {
  const PackedRows result = packed(values.extent(0), values.extent(1));
  const ConstDeviceMatrix source = matrix(values);
  backend_->pack_rows(*stream_, {&source, 1}, result);
  return result;
}

Weight TestDevice::weight(const Matrix& values, const WeightOptions& options) {
  WeightOptions coded = options;
  if (options.layout == MatrixLayout::panels) coded.shape.format = format_;
  return pack_weight(values, coded);
}

Weight TestDevice::pack_weight(const Matrix& values, const WeightOptions& options) {
  const bool in_codes = options.shape.format.coded();
  const MatrixSpec spec = spec_of(options);
  const bool plain_rows = options.layout == MatrixLayout::rows;
  const std::int64_t width = plain_rows ? 1 : backend_->panel_outputs();
  const std::int64_t panels = panel_count(spec, width);
  const std::size_t panel_bytes = backend_->panel_bytes(options.shape, options.layout);
  const std::vector<std::byte> source =
      in_codes ? stored_codes(values, options.shape) : stored(values, options.stored);
  const std::size_t row_bytes =
      in_codes ? static_cast<std::size_t>(options.shape.coded_row_bytes())
               : static_cast<std::size_t>(options.shape.inputs) * size_of(options.stored);

  Weight weight{.shape = options.shape,
                .fuse = options.fuse,
                .layout = options.layout,
                .panel_bytes = panel_bytes,
                .runs = {}};
  for (int shard = 0; shard < options.shards; ++shard) {
    if (options.only_shard >= 0 && options.only_shard != shard) continue;
    const IndexRange run = even_shard(panels, options.shards, shard);
    std::vector<std::byte> bytes(static_cast<std::size_t>(run.count) * panel_bytes);
    for (std::int64_t i = 0; i < run.count; ++i) {
      std::vector<const std::byte*> lanes(static_cast<std::size_t>(width), nullptr);
      for (const PanelSource& part : panel_sources(spec, width, run.first + i)) {
        for (std::int64_t row = 0; row < part.rows.count; ++row) {
          lanes[static_cast<std::size_t>(part.lane + row)] =
              source.data() + static_cast<std::size_t>(part.rows.first + row) * row_bytes;
        }
      }
      backend_->pack_panel(
          options.shape, options.layout, options.stored, lanes,
          std::span(bytes).subspan(static_cast<std::size_t>(i) * panel_bytes, panel_bytes));
    }
    std::byte* data = allocate(bytes.size());
    upload(bytes.data(), bytes.size(), data);
    weight.runs.push_back({run.first, run.count, data});
  }
  return weight;
}

Weight TestDevice::weight(const Matrix& values) {
  return pack_weight(values, {.shape = {.outputs = values.extent(0), .inputs = values.extent(1)}});
}

SelectPartial* TestDevice::partials(std::int64_t count) {
  return reinterpret_cast<SelectPartial*>(
      allocate(static_cast<std::size_t>(count) * sizeof(SelectPartial)));
}

Matrix TestDevice::download(ConstDeviceMatrix matrix) {
  Matrix padded({matrix.rows, matrix.stride});
  download(matrix.data, padded.flat().size() * sizeof(float), padded.flat().data());
  Matrix result({matrix.rows, matrix.columns});
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    std::copy_n(padded.view().row(row).begin(), matrix.columns, result.view().row(row).begin());
  }
  return result;
}

Matrix TestDevice::unpack(const PackedRows& rows) {
  Matrix identity({rows.inputs, rows.inputs});
  for (std::int64_t i = 0; i < rows.inputs; ++i) identity(i, i) = 1.0F;
  const DeviceMatrix values = matrix(rows.rows, rows.inputs);
  backend_->linear(*stream_, rows, weight(identity), {}, 0.0F, values);
  return download(values);
}

std::vector<SelectPartial> TestDevice::download(const SelectPartial* partials, std::int64_t count) {
  std::vector<SelectPartial> result(static_cast<std::size_t>(count));
  download(partials, result.size() * sizeof(SelectPartial), result.data());
  return result;
}

void TestDevice::check_guards(const Chunk& chunk) {
  std::vector<std::byte> bytes(chunk.used_bytes);
  download(chunk.memory.data(), bytes.size(), bytes.data());
  for (const auto& [offset, size_bytes] : chunk.cut) {
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(offset), size_bytes, kGuardByte);
  }
  const auto touched =
      std::find_if(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != kGuardByte; });
  if (touched == bytes.end()) return;
  const auto at = static_cast<std::size_t>(touched - bytes.begin());
  for (const auto& [offset, size_bytes] : chunk.cut) {
    if (at + kGuardBytes >= offset && at < offset + size_bytes + kGuardBytes) {
      ADD_FAILURE() << "wrote outside of " << size_bytes << " bytes, at offset "
                    << static_cast<std::int64_t>(at) - static_cast<std::int64_t>(offset);
    }
  }
}

void TestDevice::check_and_clear() {
  stream_->synchronize();
  for (const DeviceMatrix& matrix : matrices_) {
    const Matrix whole = download({matrix.data, matrix.rows, matrix.stride, matrix.stride});
    for (std::int64_t row = 0; row < matrix.rows; ++row) {
      for (std::int64_t column = matrix.columns; column < matrix.stride; ++column) {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(whole(row, column)),
                  std::bit_cast<std::uint32_t>(kUnwritten))
            << "wrote between rows, at row " << row << " column " << column << " of "
            << matrix.columns;
      }
    }
  }
  for (const Chunk& chunk : chunks_) check_guards(chunk);
  matrices_.clear();
  if (chunks_.size() > 1) chunks_.resize(1);
  for (Chunk& chunk : chunks_) {
    chunk.used_bytes = 0;
    chunk.cut.clear();
  }
}

::testing::AssertionResult same_bits(std::span<const float> actual,
                                     std::span<const float> expected) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure()
           << actual.size() << " values, expected " << expected.size();
  }
  std::size_t different = 0;
  std::size_t first = 0;
  for (std::size_t i = actual.size(); i-- > 0;) {
    if (std::isnan(actual[i]) && std::isnan(expected[i])) continue;
    if (std::bit_cast<std::uint32_t>(actual[i]) == std::bit_cast<std::uint32_t>(expected[i])) {
      continue;
    }
    ++different;
    first = i;
  }
  if (different == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << different << " of " << actual.size() << " values differ; the first is " << first << ": "
         << std::hexfloat << actual[first] << " instead of " << expected[first];
}

::testing::AssertionResult same_bits(const Matrix& actual, const Matrix& expected) {
  if (actual.extent(0) != expected.extent(0) || actual.extent(1) != expected.extent(1)) {
    return ::testing::AssertionFailure()
           << "shape " << actual.extent(0) << " x " << actual.extent(1) << ", expected "
           << expected.extent(0) << " x " << expected.extent(1);
  }
  return same_bits(std::span<const float>(actual.flat()), std::span<const float>(expected.flat()));
}

}  // namespace gridmill::testing
