#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "gridmill/base/philox.hpp"
#include "kernels/cuda/limits.hpp"
#include "support/cuda_under_test.hpp"

// What `gridmill bench` runs on the device beside a model.
namespace gridmill::cuda {
namespace {

/// Floats on the device, from and to the host.
class DeviceFloats {
 public:
  DeviceFloats(Backend& backend, const std::vector<float>& values)
      : backend_(backend),
        size_(values.size()),
        memory_(backend.allocate(values.size() * sizeof(float))) {
    backend_.upload(stream_, std::as_bytes(std::span(values)), memory_.data());
    stream_.synchronize();  // other streams will use it
  }
  [[nodiscard]] float* data() const { return reinterpret_cast<float*>(memory_.data()); }
  [[nodiscard]] CudaStream& stream() { return stream_; }
  [[nodiscard]] std::vector<float> values() {
    std::vector<float> host(size_);
    backend_.download(stream_, memory_.data(), std::as_writable_bytes(std::span(host)));
    stream_.synchronize();
    return host;
  }

 private:
  Backend& backend_;
  CudaStream stream_;
  std::size_t size_;
  Buffer memory_;
};

class DeviceLimits : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = testing::make_cuda(DType::bf16);
  /// More quads than one round of the loops has threads, and a ragged end.
  std::vector<float> numbers_ = [] {
    std::vector<float> values(4 * (std::size_t{kLimitBlocks} * kLimitThreads + 37));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 3);
    return values;
  }();
};

TEST_F(DeviceLimits, TheReadLoopSeesEveryFloatOnce) {
  DeviceFloats data(*backend_, numbers_);
  DeviceFloats sums(*backend_, std::vector<float>(std::size_t{kLimitBlocks} * kLimitThreads));
  launch_read_loop(data.stream().handle(), {.data = data.data(),
                                            .floats = static_cast<std::int64_t>(numbers_.size()),
                                            .sums = sums.data()});
  data.stream().synchronize();
  const std::vector<float> seen = sums.values();
  // Small whole numbers: exact in any order.
  EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0.0),
            std::accumulate(numbers_.begin(), numbers_.end(), 0.0));
}

TEST_F(DeviceLimits, TheUpdateLoopHalvesEveryFloatOnce) {
  DeviceFloats data(*backend_, numbers_);
  launch_update_loop(
      data.stream().handle(),
      {.data = data.data(), .floats = static_cast<std::int64_t>(numbers_.size()), .sums = nullptr});
  std::vector<float> expected = numbers_;
  for (float& value : expected) value /= 2;
  EXPECT_TRUE(data.values() == expected);
}

TEST_F(DeviceLimits, AreMeasuredWithAllTheirParts) {
  CudaStream stream;
  const MachineLimits limits = measure_device_limits(
      stream, {.memory_bytes = 1 << 16, .square = 16, .samples = 1, .launches = 1});
  EXPECT_GT(limits.read_bytes_per_s, 0);
  EXPECT_GT(limits.update_bytes_per_s, 0);
  EXPECT_GT(limits.bf16_flop_per_s, 0);
  EXPECT_GT(limits.fp32_flop_per_s, 0);
}

TEST(RandomWeights, AreUniformAndDifferByElementAndSeed) {
  const auto backend = testing::make_cuda(DType::fp32);
  const MatrixShape shape{.outputs = 160, .inputs = 40, .whole_inputs = 40};
  const auto made = [&](std::uint64_t seed) {
    DeviceFloats data(*backend, std::vector<float>(160 * 40));
    backend->fill_random(data.stream(), shape, MatrixLayout::panels, 10, seed,
                         reinterpret_cast<std::byte*>(data.data()));
    return data.values();
  };
  const std::vector<float> values = made(3);
  // Element i is Philox's word of (i, seed), as on any machine.
  const auto word = philox4x32({5, 0, 0, 0}, {3, 0})[1];
  EXPECT_EQ(values[21], (unit_uniform(word) - 0.5F) * kRandomWidth);
  double squares = 0;
  for (const float value : values) {
    EXPECT_LE(std::fabs(value), kRandomWidth / 2);
    squares += double{value} * value;
  }
  // The standard deviation of 6,400 uniform numbers is known to some percent.
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(values.size())), 0.02, 0.001);
  EXPECT_TRUE(values == made(3));
  EXPECT_FALSE(values == made(4));
}

}  // namespace
}  // namespace gridmill::cuda
