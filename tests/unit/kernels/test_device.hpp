#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "gridmill/base/tensor.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill::testing {

using Matrix = Tensor<float, 2>;

/// Numbers whose sums depend on their order: both signs, magnitudes over 8 powers of two.
class Numbers {
 public:
  explicit Numbers(std::uint32_t seed) : engine_(seed) {}
  float next(float scale = 1.0F);
  std::vector<float> vector(std::int64_t size, float scale = 1.0F);
  Matrix matrix(std::int64_t rows, std::int64_t columns, float scale = 1.0F);

 private:
  std::mt19937 engine_;
};

/// How a matrix is stored and cut.
struct WeightOptions {
  MatrixShape shape;
  Fuse fuse = Fuse::concatenate;
  MatrixLayout layout = MatrixLayout::panels;
  DType stored = DType::fp32;  ///< dtype of the checkpoint
  int shards = 1;  ///< runs in memory of their own; some are empty if there are more than panels
  int only_shard = -1;  ///< the one shard that is held; -1 = all
};

/// A backend with a stream and the memory of one test. Everything it hands out is surrounded by
/// guard bytes, rows of matrices also by guard columns; check_and_clear() tells if one was touched.
class TestDevice {
 public:
  explicit TestDevice(std::unique_ptr<Backend> backend);
  ~TestDevice();
  TestDevice(const TestDevice&) = delete;
  TestDevice& operator=(const TestDevice&) = delete;

  [[nodiscard]] Backend& backend() { return *backend_; }
  [[nodiscard]] Stream& stream() { return *stream_; }

  /// Copy on the device.
  [[nodiscard]] DeviceMatrix matrix(const Matrix& values);
  /// Elements are NaN until they are written.
  [[nodiscard]] DeviceMatrix matrix(std::int64_t rows, std::int64_t columns);
  [[nodiscard]] ConstDeviceVector vector(const std::vector<float>& values);
  [[nodiscard]] PackedRows packed(std::int64_t rows, std::int64_t inputs);
  [[nodiscard]] PackedRows pack(const Matrix& values);
  /// W [outputs, inputs]; interleave: gate rows, then up rows. Values are stored as options.stored.
  [[nodiscard]] Weight weight(const Matrix& values, const WeightOptions& options);
  /// From now on weight() with options rounds matrices of panels to codes.
  void keep_codes(const WeightFormat& format) { format_ = format; }
  /// A plain matrix of panels, never in codes.
  [[nodiscard]] Weight weight(const Matrix& values);
  [[nodiscard]] SelectPartial* partials(std::int64_t count);

  [[nodiscard]] Matrix download(ConstDeviceMatrix matrix);
  /// Values of packed rows, by a product with the identity (so -0 reads as +0).
  [[nodiscard]] Matrix unpack(const PackedRows& rows);
  [[nodiscard]] std::vector<SelectPartial> download(const SelectPartial* partials,
                                                    std::int64_t count);
  /// Room for `count` values of any content.
  template <typename T>
  [[nodiscard]] T* values(std::int64_t count) {
    return reinterpret_cast<T*>(allocate(static_cast<std::size_t>(count) * sizeof(T)));
  }
  template <typename T>
  [[nodiscard]] std::vector<T> download_values(const T* values, std::int64_t count) {
    std::vector<T> host(static_cast<std::size_t>(count));
    download(values, host.size() * sizeof(T), host.data());
    return host;
  }
  /// Fails the test if a guard byte was changed, and takes back all memory handed out so far.
  void check_and_clear();

 private:
  [[nodiscard]] Weight pack_weight(const Matrix& values, const WeightOptions& options);
  /// Memory from which allocations are cut, one behind the other.
  struct Chunk {
    Buffer memory;
    std::size_t used_bytes = 0;
    std::vector<std::pair<std::size_t, std::size_t>> cut{};  ///< offset and size of each
  };
  void check_guards(const Chunk& chunk);
  [[nodiscard]] std::byte* allocate(std::size_t size_bytes);
  void upload(const void* host, std::size_t size_bytes, std::byte* device);
  void download(const void* device, std::size_t size_bytes, void* host);

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Stream> stream_;
  std::vector<Chunk> chunks_;
  std::vector<DeviceMatrix> matrices_;
  WeightFormat format_;
};

/// Equal bits, where any NaN equals any NaN. Says where the first difference is.
[[nodiscard]] ::testing::AssertionResult same_bits(std::span<const float> actual,
                                                   std::span<const float> expected);
[[nodiscard]] ::testing::AssertionResult same_bits(const Matrix& actual, const Matrix& expected);

}  // namespace gridmill::testing
