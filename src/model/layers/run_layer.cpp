#include "model/layers/run_layer.hpp"

#include "gridmill/base/check.hpp"
#include "model/layers/block.hpp"
#include "model/layers/row_parallel.hpp"

namespace gridmill::model_detail {

namespace {

/// The blocks of a layer that read the same residual stream: a first one and those beside it.
class SideBySide {
 public:
  SideBySide(const Pass& pass, const Layer& layer, const UnitWeights& weights, std::size_t first)
      : pass_(pass), layer_(layer), weights_(weights), first_(first), end_(first + 1) {
    while (end_ < layer.spec.blocks.size() && layer.spec.blocks[end_].input != BlockInput::stream) {
      ++end_;
    }
  }

  /// Adds them to the residual stream. @return the block behind them.
  std::size_t run() {
    // All inputs first: the first block changes what the others read.
    std::vector<Input> inputs;
    for (std::size_t i = first_; i < end_; ++i) {
      const bool shared = layer_.spec.blocks[i].input == BlockInput::same_normed;
      inputs.push_back(shared ? inputs.back() : input_of(i));
    }
    for (std::size_t i = first_; i < end_; ++i) add_block(i, inputs[i - first_]);
    return end_;
  }

 private:
  [[nodiscard]] BlockRun run_of(std::size_t block) const {
    return {.pass = pass_, .weights = weights_, .state = layer_.states[block]};
  }

  /// Experts choose by their input in fp32, sLSTM gates are products in fp32; all other mixers
  /// begin with a product in the compute dtype.
  struct Input {
    PackedRows packed;
    ConstDeviceMatrix rows;
  };
  [[nodiscard]] Input input_of(std::size_t index) {
    const Mixer& mixer = layer_.spec.blocks[index].mixer;
    if (std::holds_alternative<ExpertsSpec>(mixer) || std::holds_alternative<SlstmSpec>(mixer)) {
      return {.packed = {}, .rows = fp32_input(index)};
    }
    return {.packed = packed_input(index), .rows = {}};
  }

  [[nodiscard]] ConstDeviceMatrix fp32_input(std::size_t index) {
    const BlockSpec& block = layer_.spec.blocks[index];
    if (!block.norm) return pass_.x;
    const BlockRun run = run_of(index);
    Norm norm = run.norm(*block.norm, layer_.parts[index].norm);
    norm.scale = static_cast<float>(block.input_scale);
    const DeviceMatrix rows =
        run.workspace().matrix(run.stream(), Scratch::expert_input, pass_.x.rows, pass_.x.columns);
    run.backend().norm_rows(run.stream(), pass_.x, norm, rows);
    return rows;
  }

  [[nodiscard]] PackedRows packed_input(std::size_t index) {
    const BlockSpec& block = layer_.spec.blocks[index];
    const BlockRun run = run_of(index);
    const std::int64_t rows = run.rows();
    const std::int64_t width = pass_.x.columns;
    PackedRows packed;
    if (index == first_) {
      packed = run.workspace().packed(run.stream(), Scratch::normed, rows, width);
    } else {
      // One buffer for all blocks beside the first.
      const std::size_t each = run.backend().packed_bytes(rows, width);
      packed = {
          run.workspace().bytes(run.stream(), Scratch::normed_beside, each * (end_ - first_ - 1)) +
              each * (index - first_ - 1),
          rows, width};
    }
    if (block.norm) {
      Norm norm = run.norm(*block.norm, layer_.parts[index].norm);
      norm.scale = static_cast<float>(block.input_scale);
      run.backend().norm_pack(run.stream(), pass_.x, norm, {}, packed);
    } else {
      const ConstDeviceMatrix x = pass_.x;
      run.backend().pack_rows(run.stream(), std::span(&x, 1), packed);
    }
    return packed;
  }

  void add_block(std::size_t index, const Input& input) {
    const BlockRun run = run_of(index);
    const BlockParts& parts = layer_.parts[index];
    std::visit(
        [&](const auto& spec, const auto& mixer_parts) {
          if constexpr (requires { run_mixer(run, spec, mixer_parts, input.packed); }) {
            const MixerOutput output = run_mixer(run, spec, mixer_parts, input.packed);
            add_output(run, index, [&](bool accumulate, DeviceMatrix out) {
              row_parallel_product(pass_.context, run.workspace(), output.rows,
                                   run.matrix(output.product.weight),
                                   run.vector(output.product.bias), accumulate, out);
            });
          } else if constexpr (requires { run_experts(run, spec, mixer_parts, {}, true, {}); }) {
            add_output(run, index, [&](bool accumulate, DeviceMatrix out) {
              run_experts(run, spec, mixer_parts, input.rows, accumulate, out);
            });
          } else if constexpr (requires { run_slstm(run, spec, mixer_parts, {}, true, {}); }) {
            add_output(run, index, [&](bool accumulate, DeviceMatrix out) {
              run_slstm(run, spec, mixer_parts, input.rows, accumulate, out);
            });
          } else {
            GRIDMILL_ASSERT(false, "a block's parameters are those of another mixer");
          }
        },
        layer_.spec.blocks[index].mixer, parts.mixer);
  }

  /// Adds what `compute(accumulate, out)` gives to the residual stream, through a norm or times a
  /// factor if the block has one behind it.
  template <typename Compute>
  void add_output(const BlockRun& run, std::size_t index, const Compute& compute) {
    const BlockSpec& block = layer_.spec.blocks[index];
    if (!block.post_norm && block.residual_scale == 1) return compute(true, pass_.x);
    const DeviceMatrix out =
        run.workspace().matrix(run.stream(), Scratch::block_output, pass_.x.rows, pass_.x.columns);
    compute(false, out);
    if (!block.post_norm) {
      run.backend().scale_add(run.stream(), 1, out, static_cast<float>(block.residual_scale),
                              pass_.x);
      return;
    }
    run.backend().norm_add(run.stream(), out,
                           run.norm(*block.post_norm, layer_.parts[index].post_norm), pass_.x);
  }

  const Pass& pass_;
  const Layer& layer_;
  const UnitWeights& weights_;
  std::size_t first_;
  std::size_t end_;
};

}  // namespace

void run_layer(const Pass& pass, const Layer& layer, const UnitWeights& weights) {
  std::size_t block = 0;
  while (block < layer.spec.blocks.size()) block = SideBySide(pass, layer, weights, block).run();
}

}  // namespace gridmill::model_detail
