#include "support/null_device/null_device.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <span>

#include "gridmill/base/error.hpp"

// The null device must really behave unlike the host, or the tests that run on it prove nothing.
namespace gridmill::testing {
namespace {

std::span<const std::byte> bytes_of(const float& value) {
  return std::as_bytes(std::span<const float>(&value, 1));
}

TEST(NullDevice, IsNoHostMemory) {
  EXPECT_FALSE(make_null_device(DType::fp32)->host_memory());
  EXPECT_EQ(make_null_device(DType::bf16)->numerics_id(), "cpu-1-bf16");
}

TEST(NullDeviceDeathTest, FollowingAnAddressOnTheHostFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto device = make_null_device(DType::fp32);
  const Buffer buffer = device->allocate(64);
  EXPECT_DEATH(
      {
        volatile auto value = *reinterpret_cast<const volatile char*>(buffer.data());
        static_cast<void>(value);
      },
      "");
}

TEST(NullDevice, DownloadsArriveWithSynchronizeAndNotBefore) {
  const auto device = make_null_device(DType::fp32);
  const auto stream = device->make_stream();
  const Buffer buffer = device->allocate(4);
  float sent = 2.5F;
  float received = -1.0F;
  device->upload(*stream, bytes_of(sent), buffer.data());
  // Host spans are read during the call.
  sent = 0.0F;  // NOLINT(clang-analyzer-deadcode.DeadStores)
  device->download(*stream, buffer.data(), std::as_writable_bytes(std::span<float>(&received, 1)));
  EXPECT_EQ(received, -1.0F);
  stream->synchronize();
  EXPECT_EQ(received, 2.5F);
}

TEST(NullDevice, HostMemoryAsAnArgumentFailsWhenSynchronised) {
  const auto device = make_null_device(DType::fp32);
  const auto stream = device->make_stream();
  std::array<float, 4> host{};
  const DeviceMatrix wrong{host.data(), 1, 4, 4};
  device->norm_add(*stream, wrong, {.weight = {}, .bias = {}}, wrong);
  EXPECT_THROW(stream->synchronize(), InternalError);
  EXPECT_NO_THROW(stream->synchronize());
}

TEST(NullDevice, WorkBehindAFailureDoesNotRun) {
  const auto device = make_null_device(DType::fp32);
  const auto stream = device->make_stream();
  const Buffer buffer = device->allocate(4);
  float host = 1.0F;
  const DeviceMatrix wrong{&host, 1, 1, 1};
  device->norm_add(*stream, wrong, {.weight = {}, .bias = {}}, wrong);
  const float sent = 7.0F;
  device->upload(*stream, bytes_of(sent), buffer.data());
  EXPECT_THROW(stream->synchronize(), InternalError);
  device->download(*stream, buffer.data(), std::as_writable_bytes(std::span<float>(&host, 1)));
  stream->synchronize();
  EXPECT_EQ(host, 0.0F);
}

TEST(NullDevice, AStateIsSavedBehindTheWorkSubmittedBefore) {
  const auto device = make_null_device(DType::fp32);
  const auto stream = device->make_stream();
  const auto state =
      device->make_mlstm_state({.layers = 1, .heads = 1, .qk_dim = 1, .v_dim = 1, .slots = 1});
  const Buffer memory = device->allocate(64);
  // q, k, v, input gate, forget gate
  const std::array<float, 5> inputs = {1.0F, 2.0F, 3.0F, 0.0F, 0.0F};
  device->upload(*stream, std::as_bytes(std::span(inputs)), memory.data());
  auto* first = reinterpret_cast<float*>(memory.data());
  const TokenSpan span{.slot = 0, .position = 0, .row = 0, .tokens = 1};
  device->mlstm_unpacked(*stream, {&span, 1},
                         {.heads = 1,
                          .qk_dim = 1,
                          .v_dim = 1,
                          .q_norm = {},
                          .k_norm = {},
                          .head_norm = {.weight = {}, .bias = {}},
                          .output_gate = false},
                         0, {first, 1, 5, 5}, *state, {first + 8, 1, 1, 1});
  std::vector<float> saved(state->saved_floats(1));
  state->save(0, 1, saved);
  // i~ = 0 is the larger exponent, so I = 1 and C = k v = 6, n = k = 2, m = 0.
  EXPECT_EQ(saved, (std::vector<float>{6.0F, 2.0F, 0.0F}));
}

}  // namespace
}  // namespace gridmill::testing
