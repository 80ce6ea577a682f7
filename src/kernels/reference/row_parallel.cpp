#include <algorithm>
#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/reference/compute.hpp"
#include "kernels/reference/float_mode.hpp"
#include "kernels/reference/reference_backend.hpp"

namespace gridmill::reference {

namespace {

/// Balanced binary tree over a power of two of neighbours: (s0 + s1) + (s2 + s3) ...
float tree_sum(std::vector<float>& sums) {
  for (std::size_t count = sums.size(); count > 1; count /= 2) {
    for (std::size_t i = 0; i < count / 2; ++i) sums[i] = sums[2 * i] + sums[2 * i + 1];
  }
  return sums[0];
}

/// Sums of `blocks` consecutive blocks of inputs, joined by their tree, for one panel.
Lanes block_tree(const float* x, const Weight& w, const std::byte* panel, int blocks, DType dtype) {
  const std::int64_t block = reduction_block_inputs(w.shape.whole_inputs);
  std::vector<Lanes> sums;
  for (int b = 0; b < blocks; ++b) {
    const std::int64_t first = std::min(w.shape.inputs, block * b);
    const std::int64_t end = std::min(w.shape.inputs, block * (b + 1));
    sums.push_back(first < end ? panel_product(w.shape, x, panel, first, end - first, dtype)
                               : Lanes{});
  }
  Lanes joined{};
  std::vector<float> lane_sums(sums.size());
  for (std::size_t l = 0; l < joined.size(); ++l) {
    for (std::size_t b = 0; b < sums.size(); ++b) lane_sums[b] = sums[b][l];
    joined[l] = tree_sum(lane_sums);
  }
  return joined;
}

/// out = (out +) (value + bias).
void finish(float value, ConstDeviceVector bias, std::int64_t output, bool accumulate, float& out) {
  if (!bias.empty()) value += bias.data[output];
  out = accumulate ? out + value : value;
}

void check_row_parallel(const PackedRows& x, const Weight& w, int blocks, DType dtype,
                        const DeviceMatrix& out) {
  check_product(x, w, Fuse::concatenate, dtype);
  GRIDMILL_ASSERT(w.shape.row_parallel, "the matrix is not row-parallel");
  GRIDMILL_ASSERT(w.shape.inputs <= reduction_block_inputs(w.shape.whole_inputs) * blocks,
                  "the matrix has more inputs than its blocks");
  GRIDMILL_ASSERT(out.rows == x.rows && out.columns == w.shape.outputs,
                  "wrong shape of the result");
}

bool is_group_size(int tp_size) {
  return tp_size == 1 || tp_size == 2 || tp_size == 4 || tp_size == kReductionBlocks;
}

}  // namespace

void ReferenceBackend::linear_row_parallel(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                           ConstDeviceVector bias, bool accumulate,
                                           DeviceMatrix out) {
  check_row_parallel(x, w, kReductionBlocks, dtype_, out);
  GRIDMILL_ASSERT(w.shape.inputs == w.shape.whole_inputs, "every block has to be here");
  GRIDMILL_ASSERT(bias.empty() || bias.size == w.shape.outputs, "wrong size of the bias");
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const float* inputs = packed_row(x, row, dtype_);
    for (std::int64_t o = 0; o < w.shape.outputs; o += kPanelOutputs) {
      const Lanes sums =
          block_tree(inputs, w, panel_of(w, o / kPanelOutputs), kReductionBlocks, dtype_);
      const std::int64_t count = std::min(kPanelOutputs, w.shape.outputs - o);
      for (std::int64_t l = 0; l < count; ++l) {
        finish(sums[static_cast<std::size_t>(l)], bias, o + l, accumulate,
               out.data[row * out.stride + o + l]);
      }
    }
  }
}

void ReferenceBackend::linear_partial(Stream& /*stream*/, const PackedRows& x, const Weight& w,
                                      int tp_size, DeviceMatrix out) {
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  const int blocks = kReductionBlocks / tp_size;
  check_row_parallel(x, w, blocks, dtype_, out);
  const FloatModeScope mode(dtype_);
  for (std::int64_t row = 0; row < x.rows; ++row) {
    const float* inputs = packed_row(x, row, dtype_);
    for (std::int64_t o = 0; o < w.shape.outputs; o += kPanelOutputs) {
      const Lanes sums = block_tree(inputs, w, panel_of(w, o / kPanelOutputs), blocks, dtype_);
      const std::int64_t count = std::min(kPanelOutputs, w.shape.outputs - o);
      std::copy_n(sums.data(), count, out.data + row * out.stride + o);
    }
  }
}

void ReferenceBackend::join_partials(Stream& /*stream*/, const float* parts, int tp_size,
                                     ConstDeviceVector bias, bool accumulate, DeviceMatrix out) {
  GRIDMILL_ASSERT(is_group_size(tp_size), "tp is 1, 2, 4 or 8");
  GRIDMILL_ASSERT(bias.empty() || bias.size == out.columns, "wrong size of the bias");
  const FloatModeScope mode(dtype_);
  std::vector<float> sums(static_cast<std::size_t>(tp_size));
  for (std::int64_t row = 0; row < out.rows; ++row) {
    for (std::int64_t o = 0; o < out.columns; ++o) {
      for (std::int64_t rank = 0; rank < tp_size; ++rank) {
        sums[static_cast<std::size_t>(rank)] = parts[(rank * out.rows + row) * out.columns + o];
      }
      finish(tree_sum(sums), bias, o, accumulate, out.data[row * out.stride + o]);
    }
  }
}

}  // namespace gridmill::reference
