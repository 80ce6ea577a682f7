#include <algorithm>

#include "gridmill/base/clock.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/limits.hpp"

namespace gridmill::cuda {

namespace {

/// Memory of the device for the time of a measurement; not zeroed.
class Loan {
 public:
  explicit Loan(std::size_t size_bytes) : data_(device_allocate(size_bytes)) {}
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() { device_free(data_); }
  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  std::byte* data_;
};

/// The shortest of all samples, in seconds a launch.
template <typename Launch>
double best_seconds(CudaStream& stream, const LimitSizes& sizes, const Launch& launch_once) {
  double best = 1e30;
  for (int sample = 0; sample < sizes.samples; ++sample) {
    stream.synchronize();
    const auto start = SteadyClock::now();
    for (int i = 0; i < sizes.launches; ++i) launch_once();
    stream.synchronize();
    best = std::min(best, seconds_since(start) / sizes.launches);
  }
  return best;
}

double product_rate(CudaStream& stream, DType dtype, std::int64_t square) {
  const std::int64_t elements = square * square;
  const Loan inputs(2 * static_cast<std::size_t>(elements) * size_of(dtype));
  const Loan output(static_cast<std::size_t>(elements) * sizeof(float));
  launch_fill_random(
      stream.handle(), dtype,
      {.data = inputs.data(), .elements = 2 * elements, .seed = 1, .width = kRandomWidth});
  const std::byte* second = inputs.data() + static_cast<std::size_t>(elements) * size_of(dtype);
  const double seconds = library_square_seconds(stream.direct(), dtype, square, inputs.data(),
                                                second, reinterpret_cast<float*>(output.data()));
  return 2.0 * static_cast<double>(elements) * static_cast<double>(square) / seconds;
}

}  // namespace

MachineLimits measure_device_limits(CudaStream& stream, const LimitSizes& sizes) {
  MachineLimits limits;
  {
    const Loan memory(sizes.memory_bytes);
    const Loan sums(sizeof(float) * kLimitBlocks * kLimitThreads);
    const MemoryLoopArgs args{.data = reinterpret_cast<float*>(memory.data()),
                              .floats = static_cast<std::int64_t>(sizes.memory_bytes / 16 * 4),
                              .sums = reinterpret_cast<float*>(sums.data())};
    fill_zero(stream.direct(), memory.data(), sizes.memory_bytes);
    const auto bytes = static_cast<double>(args.floats) * sizeof(float);
    limits.read_bytes_per_s =
        bytes / best_seconds(stream, sizes, [&] { launch_read_loop(stream.handle(), args); });
    limits.update_bytes_per_s =
        2 * bytes / best_seconds(stream, sizes, [&] { launch_update_loop(stream.handle(), args); });
  }
  limits.bf16_flop_per_s = product_rate(stream, DType::bf16, sizes.square);
  // Without tensor cores: a smaller square takes as long.
  limits.fp32_flop_per_s = product_rate(stream, DType::fp32, sizes.square / 2);
  return limits;
}

MachineLimits CudaBackend::machine_limits(int /*threads*/) {
  CudaStream stream;
  return measure_device_limits(stream, {});
}

void CudaBackend::fill_random(Stream& stream, const MatrixShape& shape, MatrixLayout layout,
                              std::int64_t panels, std::uint64_t seed, std::byte* data) {
  // Padding gets values too: packed rows have zeros there.
  const std::size_t bytes = static_cast<std::size_t>(panels) * panel_bytes(shape, layout);
  launch_fill_random(dynamic_cast<CudaStream&>(stream).handle(), dtype_,
                     {.data = data,
                      .elements = static_cast<std::int64_t>(bytes / size_of(dtype_)),
                      .seed = seed,
                      .width = kRandomWidth});
}

}  // namespace gridmill::cuda
