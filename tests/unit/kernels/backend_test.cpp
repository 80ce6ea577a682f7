#include "gridmill/kernels/backend.hpp"

#include <gtest/gtest.h>

#include <string>

#include "gridmill/base/error.hpp"

namespace gridmill {
namespace {

std::string message_of(std::string_view name, const BackendOptions& options) {
  try {
    static_cast<void>(make_backend(name, options));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(MakeBackend, GivesTheReferenceInBothComputeDtypes) {
  EXPECT_EQ(make_backend("reference", {})->numerics_id(), "cpu-1-fp32");
  const auto bf16 = make_backend("reference", {.compute_dtype = DType::bf16, .threads = 4});
  EXPECT_EQ(bf16->name(), "reference");
  EXPECT_EQ(bf16->numerics_id(), "cpu-1-bf16");
  EXPECT_EQ(bf16->compute_dtype(), DType::bf16);
  EXPECT_TRUE(bf16->host_memory());
}

TEST(MakeBackend, AutoGivesABackendOfTheCpuContract) {
  EXPECT_EQ(make_backend("auto", {})->numerics_id(), "cpu-1-fp32");
}

TEST(MakeBackend, UnknownNamesAreRefusedWithTheChoices) {
  EXPECT_THROW(static_cast<void>(make_backend("gpu", {})), UsageError);
  EXPECT_NE(message_of("gpu", {}).find("auto, cpu, cuda or reference"), std::string::npos);
}

TEST(MakeBackend, CudaIsAMissingResourceWithoutCuda) {
  EXPECT_THROW(static_cast<void>(make_backend("cuda", {})), ResourceError);
  EXPECT_NE(message_of("cuda", {}).find("use backend cpu"), std::string::npos);
}

TEST(MakeBackend, TheReferenceHasNoKernelTargets) {
  EXPECT_THROW(static_cast<void>(make_backend("reference", {.kernel_target = "avx2"})), UsageError);
}

TEST(MakeBackend, UnknownKernelTargetsAreRefused) {
  EXPECT_THROW(static_cast<void>(make_backend("cpu", {.kernel_target = "sse"})), UsageError);
}

TEST(MakeBackend, Fp16IsNoComputeDtype) {
  EXPECT_THROW(static_cast<void>(make_backend("reference", {.compute_dtype = DType::fp16})),
               UsageError);
}

TEST(MakeBackend, NoThreadsAreRefused) {
  EXPECT_THROW(static_cast<void>(make_backend("reference", {.threads = 0})), UsageError);
}

TEST(ReferenceBackend, MemoryIsZeroedAndAligned) {
  const auto backend = make_backend("reference", {});
  const Buffer buffer = backend->allocate(10000);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % 4096, 0U);
  EXPECT_EQ(buffer.size_bytes(), 10000U);
  for (std::size_t i = 0; i < buffer.size_bytes(); ++i) ASSERT_EQ(buffer.data()[i], std::byte{0});
}

TEST(ReferenceBackend, MemoryThatDoesNotExistIsAMissingResource) {
  const auto backend = make_backend("reference", {});
  EXPECT_THROW(static_cast<void>(backend->allocate(std::size_t{1} << 60)), ResourceError);
  EXPECT_THROW(static_cast<void>(backend->make_kv_cache({.layers = 1 << 10,
                                                         .kv_heads = 1 << 10,
                                                         .head_dim = 1 << 10,
                                                         .slots = 1 << 10,
                                                         .max_length = 1 << 20})),
               ResourceError);
}

TEST(ReferenceBackend, ShapesThatDoNotAgreeAreInternalErrors) {
  const auto backend = make_backend("reference", {});
  const auto stream = backend->make_stream();
  const Buffer memory = backend->allocate(1 << 16);
  const PackedRows x{memory.data(), 1, 8};
  const Weight w{.shape = {.outputs = 16, .inputs = 9},
                 .panel_bytes = std::size_t{16} * 9 * 4,
                 .runs = {{0, 1, memory.data()}}};
  const DeviceMatrix out{reinterpret_cast<float*>(memory.data()), 1, 16, 16};
  EXPECT_THROW(backend->linear(*stream, x, w, {}, 0, out), InternalError);
}

TEST(ReferenceBackend, AMissingPanelIsAnInternalError) {
  const auto backend = make_backend("reference", {});
  const auto stream = backend->make_stream();
  const Buffer memory = backend->allocate(1 << 16);
  const PackedRows x{memory.data(), 1, 8};
  const Weight w{.shape = {.outputs = 17, .inputs = 8},
                 .panel_bytes = std::size_t{16} * 8 * 4,
                 .runs = {{0, 1, memory.data()}}};
  const DeviceMatrix out{reinterpret_cast<float*>(memory.data()) + 4096, 1, 17, 17};
  EXPECT_THROW(backend->linear(*stream, x, w, {}, 0, out), InternalError);
}

TEST(RecurrentStateOfTheHost, IsNotForkedOntoItself) {
  const auto state = make_backend("reference", {})
                         ->make_recurrent_state({.layers = 1, .slots = 2, .cell_width = 3});
  EXPECT_THROW(state->fork(1, 1, 0), InternalError);
  EXPECT_NO_THROW(state->fork(1, 0, 0));
}

}  // namespace
}  // namespace gridmill
