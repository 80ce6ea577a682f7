#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/nccl_exchange.hpp"
#include "support/thread_exchange.hpp"

// Ranks with a device each exchange over NCCL, here the emulation's; one rank:
// tests/gpu/nccl_test.cpp.
namespace gridmill::cuda {
namespace {

/// The node has so many devices while this lives.
class Devices {
 public:
  explicit Devices(int count) {
    ::setenv("GRIDMILL_EMULATED_DEVICES", std::to_string(count).c_str(), 1);
  }
  Devices(const Devices&) = delete;
  Devices& operator=(const Devices&) = delete;
  ~Devices() { ::unsetenv("GRIDMILL_EMULATED_DEVICES"); }
};

/// `size` bytes that tell ranks and rounds apart.
std::vector<std::byte> part_of(int rank, int round, std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) {
    bytes[i] = static_cast<std::byte>(i * 7 + static_cast<std::size_t>(rank * 50 + round * 11));
  }
  return bytes;
}

class Collectives : public ::testing::TestWithParam<int> {};

TEST_P(Collectives, EveryRankGetsEveryPartBehindTheWorkThatMadeIt) {
  const int ranks = GetParam();
  const Devices devices(ranks);
  test::ThreadGroup group(ranks);
  group.run([&](Exchange& host) {
    CudaBackend backend(DType::fp32, host.rank(), false);
    const std::unique_ptr<Exchange> exchange = backend.make_device_exchange(host);
    ASSERT_NE(exchange, nullptr);
    EXPECT_EQ(exchange->size(), ranks);
    const auto compute = backend.make_stream();
    const auto travel = backend.make_stream();
    // Also more than the emulation moves at a time.
    for (const std::size_t size : {std::size_t{1}, std::size_t{1000}, std::size_t{2'500'001}}) {
      const Buffer part = backend.allocate(size);
      const Buffer whole = backend.allocate(size * static_cast<std::size_t>(ranks));
      for (int round = 0; round < 3; ++round) {
        backend.upload(*compute, part_of(host.rank(), round, size), part.data());
        backend.order(*travel, *compute);
        exchange->all_gather(*travel, part.data(), size, whole.data());
        backend.order(*compute, *travel);
        std::vector<std::byte> found(whole.size_bytes());
        backend.download(*compute, whole.data(), found);
        compute->synchronize();
        std::vector<std::byte> expected;
        for (int rank = 0; rank < ranks; ++rank) {
          const std::vector<std::byte> one = part_of(rank, round, size);
          expected.insert(expected.end(), one.begin(), one.end());
        }
        EXPECT_TRUE(found == expected) << size << " bytes, round " << round;
      }
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Ranks, Collectives, ::testing::Values(2, 3, 4, 8));

TEST(RanksOnOneDevice, ExchangeThroughTheHost) {
  const Devices devices(2);
  test::ThreadGroup group(4);
  group.run([](Exchange& host) {
    CudaBackend backend(DType::fp32, host.rank(), true);
    EXPECT_EQ(backend.make_device_exchange(host), nullptr);
  });
}

TEST(RanksOnOneDevice, AreRefusedByNccl) {
  test::ThreadGroup group(2);
  group.run([](Exchange& host) { EXPECT_THROW(NcclExchange{host}, SystemError); });
}

}  // namespace
}  // namespace gridmill::cuda
