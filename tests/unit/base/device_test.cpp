#include "gridmill/base/device.hpp"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <utility>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

class IdleStream final : public Stream {
 public:
  void synchronize() override {}
};

TEST(Buffer, ReleasesItsMemoryOnce) {
  std::array<std::byte, 8> memory{};
  int releases = 0;
  {
    Buffer first(memory.data(), memory.size(), [&](std::byte* data) {
      EXPECT_EQ(data, memory.data());
      ++releases;
    });
    Buffer second = std::move(first);
    Buffer third;
    third = std::move(second);
    EXPECT_EQ(third.data(), memory.data());
    EXPECT_EQ(third.size_bytes(), memory.size());
    EXPECT_EQ(releases, 0);
  }
  EXPECT_EQ(releases, 1);
}

TEST(Buffer, AMovedFromBufferIsEmpty) {
  std::array<std::byte, 8> memory{};
  Buffer first(memory.data(), memory.size(), nullptr);
  const Buffer second = std::move(first);
  EXPECT_EQ(first.data(), nullptr);  // NOLINT: being empty is the promise
  EXPECT_EQ(first.size_bytes(), 0U);
}

TEST(DeviceMatrix, PartsShareTheStride) {
  std::array<float, 12> values{};
  std::iota(values.begin(), values.end(), 0.0F);
  const DeviceMatrix matrix{values.data(), 3, 4, 4};
  const ConstDeviceMatrix part = matrix.rows_at(1, 2).columns_at(1, 2);
  EXPECT_EQ(part.rows, 2);
  EXPECT_EQ(part.columns, 2);
  EXPECT_EQ(part.stride, 4);
  EXPECT_EQ(part.data[0], 5.0F);
  EXPECT_EQ(part.data[part.stride + 1], 10.0F);
}

TEST(ConstDeviceVector, IsEmptyWithoutElements) {
  const float value = 1.0F;
  EXPECT_TRUE(ConstDeviceVector().empty());
  EXPECT_FALSE((ConstDeviceVector{&value, 1}.empty()));
}

TEST(NoExchange, IsAGroupOfOne) {
  NoExchange exchange;
  EXPECT_EQ(exchange.size(), 1);
  EXPECT_EQ(exchange.rank(), 0);
  EXPECT_TRUE(exchange.any(true));
  EXPECT_FALSE(exchange.any(false));
}

TEST(NoExchange, GatheringOnTheHostCopies) {
  NoExchange exchange;
  const std::array<int, 2> part = {3, 4};
  std::array<int, 2> whole{};
  exchange.all_gather_host(part.data(), sizeof(part), whole.data());
  EXPECT_EQ(whole, part);
}

TEST(NoExchange, GatheringOnTheDeviceIsAMistakeOfOurs) {
  NoExchange exchange;
  IdleStream stream;
  std::byte byte{};
  EXPECT_THROW(exchange.all_gather(stream, &byte, 1, &byte), InternalError);
}

}  // namespace
}  // namespace gridmill
