#include "kernels/cuda/nvcc/library_product.hpp"

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::cuda {

namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw SystemError(fmt::format("{} failed: {}", call, cublasLtGetStatusString(status)));
  }
}

cudaDataType_t type_of(DType dtype) { return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F; }

}  // namespace

/// Owns a handle of cuBLASLt and everything that one product needs.
struct LibraryProduct::Handles {
  static constexpr int kProposals = 16;

  Handles() = default;
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;
  ~Handles() {
    if (preference != nullptr) cublasLtMatmulPreferenceDestroy(preference);
    for (const cublasLtMatrixLayout_t layout : {weight, rows, out}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
    if (product != nullptr) cublasLtMatmulDescDestroy(product);
    if (handle != nullptr) cublasLtDestroy(handle);
  }

  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t weight = nullptr;
  cublasLtMatrixLayout_t rows = nullptr;
  cublasLtMatrixLayout_t out = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  std::array<cublasLtMatmulHeuristicResult_t, kProposals> proposals{};
  int found = 0;
  std::size_t workspace_bytes = 0;
};

LibraryProduct::LibraryProduct(const Shape& shape, std::size_t workspace_bytes)
    : handles_(std::make_unique<Handles>()) {
  Handles& own = *handles_;
  own.workspace_bytes = workspace_bytes;
  const auto rows = static_cast<std::uint64_t>(shape.rows);
  const auto outputs = static_cast<std::uint64_t>(shape.outputs);
  const auto inputs = static_cast<std::uint64_t>(shape.inputs);
  check(cublasLtCreate(&own.handle), "cublasLtCreate");
  check(cublasLtMatmulDescCreate(&own.product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        "cublasLtMatmulDescCreate");
  // The library is column-major: out^T [outputs, rows] = w [outputs, inputs] x^T, both operands
  // along the inputs.
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check(cublasLtMatmulDescSetAttribute(own.product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                       sizeof transposed),
        "cublasLtMatmulDescSetAttribute");
  const auto make = [](cublasLtMatrixLayout_t& layout, DType dtype, std::uint64_t height,
                       std::uint64_t width) {
    check(cublasLtMatrixLayoutCreate(&layout, type_of(dtype), height, width,
                                     static_cast<std::int64_t>(height)),
          "cublasLtMatrixLayoutCreate");
  };
  make(own.weight, shape.dtype, inputs, outputs);
  make(own.rows, shape.dtype, inputs, rows);
  make(own.out, shape.out_dtype, outputs, rows);
  check(cublasLtMatmulPreferenceCreate(&own.preference), "cublasLtMatmulPreferenceCreate");
  check(
      cublasLtMatmulPreferenceSetAttribute(own.preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                           &workspace_bytes, sizeof workspace_bytes),
      "cublasLtMatmulPreferenceSetAttribute");
  check(cublasLtMatmulAlgoGetHeuristic(own.handle, own.product, own.weight, own.rows, own.out,
                                       own.out, own.preference, Handles::kProposals,
                                       own.proposals.data(), &own.found),
        "cublasLtMatmulAlgoGetHeuristic");
  const auto end =
      std::partition(own.proposals.begin(), own.proposals.begin() + own.found,
                     [](const auto& proposal) { return proposal.state == CUBLAS_STATUS_SUCCESS; });
  own.found = static_cast<int>(end - own.proposals.begin());
  if (own.found == 0) {
    throw SystemError(
        fmt::format("cuBLASLt has no product of {} rows, {} inputs and {} outputs "
                    "for this device",
                    rows, inputs, outputs));
  }
}

LibraryProduct::~LibraryProduct() = default;

int LibraryProduct::proposals() const { return handles_->found; }

int LibraryProduct::splits(int proposal) const {
  std::int32_t splits = 1;
  std::size_t written = 0;
  check(cublasLtMatmulAlgoConfigGetAttribute(
            &handles_->proposals.at(static_cast<std::size_t>(proposal)).algo,
            CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &splits, sizeof splits, &written),
        "cublasLtMatmulAlgoConfigGetAttribute");
  return std::max(splits, 1);
}

void LibraryProduct::run(int proposal, StreamHandle stream, const std::byte* x, const std::byte* w,
                         std::byte* out, std::byte* workspace) const {
  const Handles& own = *handles_;
  const float one = 1;
  const float zero = 0;
  check(
      cublasLtMatmul(own.handle, own.product, &one, w, own.weight, x, own.rows, &zero, out, own.out,
                     out, own.out, &own.proposals.at(static_cast<std::size_t>(proposal)).algo,
                     workspace, own.workspace_bytes, stream),
      "cublasLtMatmul");
}

double library_square_seconds(StreamHandle stream, DType dtype, std::int64_t n, const std::byte* a,
                              const std::byte* b, float* c) {
  constexpr int kLaunches = 4;
  constexpr int kSamples = 3;
  const LibraryProduct square({.dtype = dtype, .rows = n, .outputs = n, .inputs = n}, 0);
  auto* out = reinterpret_cast<std::byte*>(c);
  double best = 1e30;
  for (int proposal = 0; proposal < square.proposals(); ++proposal) {
    square.run(proposal, stream, b, a, out, nullptr);  // warms up
    for (int sample = 0; sample < kSamples; ++sample) {
      synchronize(stream);
      const auto start = SteadyClock::now();
      for (int i = 0; i < kLaunches; ++i) square.run(proposal, stream, b, a, out, nullptr);
      synchronize(stream);
      best = std::min(best, seconds_since(start) / kLaunches);
    }
  }
  return best;
}

}  // namespace gridmill::cuda
