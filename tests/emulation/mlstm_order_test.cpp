#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "gridmill/base/numerics.hpp"
#include "support/cuda_under_test.hpp"
#include "unit/kernels/sequence_cases.hpp"

// The order of sums that docs/cuda.md names for the mLSTM, written down once more without a thought
// of threads: h, q n, and the norm behind them.
namespace gridmill::testing {
namespace {

using Eight = std::array<float, 8>;
using Lanes = std::array<float, 32>;

float joined(const Eight& s) {
  return ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
}

float joined(Lanes lanes) {
  for (std::size_t half = 16; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
  }
  return lanes[0];
}

/// One head's state and what it makes of a token.
class Head {
 public:
  explicit Head(const MlstmCase& mlstm)
      : qk_(static_cast<std::size_t>(mlstm.qk_dim)),
        dv_(static_cast<std::size_t>(mlstm.v_dim)),
        c_(qk_ * dv_),
        n_(qk_) {}

  /// h over its denominator.
  std::vector<float> step(const float* q, const float* k, const float* v, float input,
                          float forget) {
    const float a = log_sigmoid_f32(forget) + m_;
    m_ = std::max(a, input);
    const float f = exp_f32(a - m_);
    const float i = exp_f32(input - m_);
    const float scale = 1.0F / std::sqrt(static_cast<float>(qk_));
    const std::size_t rows = (qk_ + 7) / 8;
    Lanes qn{};
    std::vector<Eight> parts(dv_);
    for (std::size_t row = 0; row < qk_; ++row) {
      const float ik = i * k[row];
      const float qs = q[row] * scale;
      n_[row] = std::fma(f, n_[row], ik);
      qn[row % 32] = std::fma(qs, n_[row], qn[row % 32]);
      for (std::size_t column = 0; column < dv_; ++column) {
        float& c = c_[row * dv_ + column];
        float& part = parts[column][row / rows];
        c = std::fma(f, c, ik * v[column]);
        part = std::fma(qs, c, part);
      }
    }
    const float denominator = std::max(std::fabs(joined(qn)), exp_f32(-m_)) + 1e-6F;
    std::vector<float> h;
    for (const Eight& part : parts) h.push_back(joined(part) / denominator);
    return h;
  }

 private:
  std::size_t qk_;
  std::size_t dv_;
  std::vector<float> c_;
  std::vector<float> n_;
  float m_ = 0;
};

/// 1 / the root mean square of up to 256 values, a chain each.
float rms_factor(const std::vector<float>& h) {
  Eight warps{};
  for (std::size_t warp = 0; warp < warps.size(); ++warp) {
    Lanes squares{};
    for (std::size_t lane = 0; lane < squares.size() && warp * 32 + lane < h.size(); ++lane) {
      squares[lane] = h[warp * 32 + lane] * h[warp * 32 + lane];
    }
    warps[warp] = joined(squares);
  }
  return 1.0F / std::sqrt(joined(warps) / static_cast<float>(h.size()) + 1e-6F);
}

Matrix in_order(const MlstmCase& mlstm) {
  const Matrix inputs = mlstm_inputs(mlstm, 0);
  const std::vector<float> weight =
      norm_weights(std::int64_t{mlstm.heads} * mlstm.v_dim, 3);  // as run_mlstm has it
  Matrix out({mlstm.lengths[0], std::int64_t{mlstm.heads} * mlstm.v_dim});
  const std::int64_t keys = std::int64_t{mlstm.heads} * mlstm.qk_dim;
  const std::int64_t gates = 2 * keys + std::int64_t{mlstm.heads} * mlstm.v_dim;
  for (int head = 0; head < mlstm.heads; ++head) {
    Head state(mlstm);
    for (std::int64_t t = 0; t < inputs.extent(0); ++t) {
      const float* x = &inputs(t, 0);
      const std::vector<float> h = state.step(
          x + head * mlstm.qk_dim, x + keys + head * mlstm.qk_dim,
          x + 2 * keys + head * mlstm.v_dim, x[gates + head], x[gates + mlstm.heads + head]);
      const float factor = rms_factor(h);
      for (int b = 0; b < mlstm.v_dim; ++b) {
        const int column = head * mlstm.v_dim + b;
        out(t, column) =
            h[static_cast<std::size_t>(b)] * factor * weight[static_cast<std::size_t>(column)];
      }
    }
  }
  return out;
}

TEST(MlstmOnCuda, SumsInTheOrderThatIsWrittenDown) {
  for (const int qk_dim : {5, 40, 64, 100, 128, 200, 256, 300, 512}) {
    const MlstmCase mlstm{.lengths = {11},
                          .heads = 2,
                          .qk_dim = qk_dim,
                          .v_dim = 37,
                          .output_gate = false,
                          .head_norm = NormKind::rms};
    TestDevice cuda(make_cuda(DType::fp32));
    for (const int piece : {1, 11}) {
      const auto results = run_mlstm(cuda, mlstm, all_of(1, piece), false);
      EXPECT_TRUE(same_bits(results[0].outputs, in_order(mlstm))) << text(mlstm) << ' ' << piece;
    }
    cuda.check_and_clear();
  }
}

}  // namespace
}  // namespace gridmill::testing
