#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <array>

#include "gridmill/base/clock.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

namespace {

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw SystemError(fmt::format("{} failed: {}", call, cublasLtGetStatusString(status)));
  }
}

/// Owns a handle of cuBLASLt and everything that one product needs.
class Square {
 public:
  Square(DType dtype, std::int64_t n) {
    const cudaDataType_t type = dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
    const auto width = static_cast<std::uint64_t>(n);
    check(cublasLtCreate(&handle_), "cublasLtCreate");
    check(cublasLtMatmulDescCreate(&product_, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "cublasLtMatmulDescCreate");
    // Column-major: c = a^T b takes both operands along the inputs, as a b^T does row-major.
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check(cublasLtMatmulDescSetAttribute(product_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                         sizeof transposed),
          "cublasLtMatmulDescSetAttribute");
    check(cublasLtMatrixLayoutCreate(&input_, type, width, width, n), "cublasLtMatrixLayoutCreate");
    check(cublasLtMatrixLayoutCreate(&output_, CUDA_R_32F, width, width, n),
          "cublasLtMatrixLayoutCreate");
    check(cublasLtMatmulPreferenceCreate(&preference_), "cublasLtMatmulPreferenceCreate");
  }
  Square(const Square&) = delete;
  Square& operator=(const Square&) = delete;
  ~Square() {
    if (preference_ != nullptr) cublasLtMatmulPreferenceDestroy(preference_);
    if (output_ != nullptr) cublasLtMatrixLayoutDestroy(output_);
    if (input_ != nullptr) cublasLtMatrixLayoutDestroy(input_);
    if (product_ != nullptr) cublasLtMatmulDescDestroy(product_);
    if (handle_ != nullptr) cublasLtDestroy(handle_);
  }

  /// What the library proposes without a workspace; at most kProposals.
  int propose() {
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(handle_, product_, input_, input_, output_, output_,
                                         preference_, static_cast<int>(proposals_.size()),
                                         proposals_.data(), &found),
          "cublasLtMatmulAlgoGetHeuristic");
    if (found == 0) throw SystemError("cuBLASLt has no product of large squares for this device");
    return found;
  }
  void run(int proposal, StreamHandle stream, const std::byte* a, const std::byte* b, float* c) {
    const float one = 1;
    const float zero = 0;
    check(
        cublasLtMatmul(handle_, product_, &one, a, input_, b, input_, &zero, c, output_, c, output_,
                       &proposals_[static_cast<std::size_t>(proposal)].algo, nullptr, 0, stream),
        "cublasLtMatmul");
  }

 private:
  static constexpr std::size_t kProposals = 8;
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t product_ = nullptr;
  cublasLtMatrixLayout_t input_ = nullptr;
  cublasLtMatrixLayout_t output_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  std::array<cublasLtMatmulHeuristicResult_t, kProposals> proposals_{};
};

}  // namespace

double library_square_seconds(StreamHandle stream, DType dtype, std::int64_t n, const std::byte* a,
                              const std::byte* b, float* c) {
  constexpr int kLaunches = 4;
  constexpr int kSamples = 3;
  Square square(dtype, n);
  double best = 1e30;
  const int proposals = square.propose();
  for (int proposal = 0; proposal < proposals; ++proposal) {
    square.run(proposal, stream, a, b, c);  // warms up
    for (int sample = 0; sample < kSamples; ++sample) {
      synchronize(stream);
      const auto start = SteadyClock::now();
      for (int i = 0; i < kLaunches; ++i) square.run(proposal, stream, a, b, c);
      synchronize(stream);
      best = std::min(best, seconds_since(start) / kLaunches);
    }
  }
  return best;
}

}  // namespace gridmill::cuda
