#pragma once

#include "model/layers/run_layer.hpp"

namespace gridmill::model_detail {

/// One block of one pass: what a mixer needs. A mixer reads its packed input and returns the packed
/// input of the product that ends it.
struct BlockRun {
  const Pass& pass;
  const UnitWeights& weights;
  StatePlace state;

  [[nodiscard]] Backend& backend() const { return pass.context.backend; }
  [[nodiscard]] Stream& stream() const { return pass.context.stream; }
  [[nodiscard]] Workspace& workspace() const { return pass.states.workspace; }
  [[nodiscard]] std::int64_t rows() const { return pass.x.rows; }
  [[nodiscard]] TensorParallel tp() const {
    return {pass.context.tp.size(), pass.context.tp.rank()};
  }
  [[nodiscard]] const Weight& matrix(PartIndex part) const {
    return weights.matrices[static_cast<std::size_t>(part)];
  }
  [[nodiscard]] ConstDeviceVector vector(PartIndex part) const {
    return vector_or_none(weights, part);
  }
  [[nodiscard]] Norm norm(const NormSpec& spec, const NormParts& parts) const {
    return {.kind = spec.kind,
            .eps = static_cast<float>(spec.eps),
            .weight = vector(parts.weight),
            .bias = vector(parts.bias)};
  }
  /// x W^T + bias of a column-parallel matrix, in scratch memory.
  [[nodiscard]] DeviceMatrix linear(const PackedRows& x, const LinearParts& parts,
                                    Scratch what) const {
    const Weight& weight = matrix(parts.weight);
    const DeviceMatrix out = workspace().matrix(stream(), what, rows(), weight.shape.outputs);
    backend().linear(stream(), x, weight, vector(parts.bias), 0, out);
    return out;
  }
};

/// A mixer's packed result and the row-parallel product that ends it.
struct MixerOutput {
  PackedRows rows;
  LinearParts product;
};

[[nodiscard]] MixerOutput run_mixer(const BlockRun& run, const AttentionSpec& spec,
                                    const AttentionParts& parts, const PackedRows& input);
[[nodiscard]] MixerOutput run_mixer(const BlockRun& run, const FeedForwardSpec& spec,
                                    const FeedForwardParts& parts, const PackedRows& input);
/// out = (out +) the weighted sum of every row's experts. They read their input in fp32.
void run_experts(const BlockRun& run, const ExpertsSpec& spec, const ExpertsParts& parts,
                 ConstDeviceMatrix input, bool accumulate, DeviceMatrix out);
[[nodiscard]] MixerOutput run_mixer(const BlockRun& run, const MlstmSpec& spec,
                                    const MlstmParts& parts, const PackedRows& input);

/// silu(convolution of x behind the slots' last inputs + bias), in scratch memory `what`.
/// @param group  of the state that holds these inputs, layer `index` of it.
[[nodiscard]] DeviceMatrix run_convolution(const BlockRun& run, std::int64_t taps,
                                           const NormParts& parts, int group, int index,
                                           ConstDeviceMatrix x, Scratch what);
[[nodiscard]] MixerOutput run_mixer(const BlockRun& run, const LinearRecurrenceSpec& spec,
                                    const LinearRecurrenceParts& parts, const PackedRows& input);
/// out = (out +) the cells' normed outputs. They read their input in fp32.
void run_slstm(const BlockRun& run, const SlstmSpec& spec, const SlstmParts& parts,
               ConstDeviceMatrix input, bool accumulate, DeviceMatrix out);

}  // namespace gridmill::model_detail
