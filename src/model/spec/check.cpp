#include "model/spec/check.hpp"

#include <array>
#include <optional>
#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::model_detail {

namespace {

/// Refuses a block, named in every message.
class BlockCheck {
 public:
  BlockCheck(const ModelSpec& model, std::string where) : model_(model), where_(std::move(where)) {}

  void operator()(const AttentionSpec& attention) const {
    if (attention.heads % attention.kv_heads != 0) {
      fail(fmt::format("kv_heads = {} does not divide heads = {}", attention.kv_heads,
                       attention.heads));
    }
    if (attention.qk_norm && attention.qk_norm->norm.bias) fail("qk_norm with a bias");
    if (!attention.rotary) return;
    const auto index = static_cast<std::size_t>(*attention.rotary);
    if (index >= model_.rotary.size()) {
      fail(fmt::format("rotary is {}, but the model has {} tables", index, model_.rotary.size()));
    }
    if (model_.rotary[index].width > attention.head_width) {
      fail(fmt::format("rotary table {} turns {} components, but head_width is {}", index,
                       model_.rotary[index].width, attention.head_width));
    }
  }

  void operator()(const FeedForwardSpec& feed_forward) const {
    if (feed_forward.gate_scale != 1 && !feed_forward.gated) fail("gate_scale without a gate");
  }

  void operator()(const LinearRecurrenceSpec& recurrence) const {
    if (recurrence.heads % recurrence.key_heads != 0) {
      fail(fmt::format("key_heads = {} does not divide heads = {}", recurrence.key_heads,
                       recurrence.heads));
    }
    check_taps(recurrence.conv_kernel);
    if (recurrence.gate_first && !recurrence.norm) fail("gate_first without norm");
    if (!recurrence.norm) return;
    if (recurrence.norm->norm.bias) fail("a norm with a bias");
    if (recurrence.heads % recurrence.norm->groups != 0) {
      fail(fmt::format("norm.groups = {} does not divide heads = {}", recurrence.norm->groups,
                       recurrence.heads));
    }
  }

  void operator()(const SlstmSpec& slstm) const {
    if (model_.hidden_size % slstm.heads != 0) {
      fail(fmt::format("heads = {} does not divide hidden_size = {}", slstm.heads,
                       model_.hidden_size));
    }
    if (slstm.conv_kernel > 0) check_taps(slstm.conv_kernel);
    if (slstm.head_norm.bias) fail("head_norm with a bias");
  }

  void operator()(const ExpertsSpec& experts) const {
    if (experts.per_token > experts.experts) {
      fail(fmt::format("per_token = {} exceeds experts = {}", experts.per_token, experts.experts));
    }
    if (experts.shared_gate && experts.shared_size == 0) fail("shared_gate without shared_size");
  }

  void operator()(const MlstmSpec& mlstm) const {
    if (mlstm.qk_size % mlstm.heads != 0 || mlstm.v_size % mlstm.heads != 0) {
      fail(fmt::format("qk_size = {} and v_size = {} must be multiples of heads = {}",
                       mlstm.qk_size, mlstm.v_size, mlstm.heads));
    }
    if (mlstm.qk_norm && mlstm.qk_norm->bias) fail("qk_norm with a bias");
    if (!mlstm.older) return;
    if (mlstm.qk_size != mlstm.v_size) {
      fail(fmt::format("the older layer needs qk_size = v_size, found {} and {}", mlstm.qk_size,
                       mlstm.v_size));
    }
    if (mlstm.older->history) {
      check_taps(mlstm.older->conv_kernel);
      if (mlstm.older->gate_input == GateInput::conv) fail("history with gate_input \"conv\"");
    }
    if (mlstm.v_size % mlstm.older->qkv_block_size != 0) {
      fail(fmt::format("qkv_block_size = {} does not divide v_size = {}",
                       mlstm.older->qkv_block_size, mlstm.v_size));
    }
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw FormatError(where_ + ": " + message);
  }

 private:
  void check_taps(std::int64_t kernel) const {
    if (kernel > kMostConvolutionTaps) {
      fail(fmt::format("conv_kernel is {}; a convolution of more than {} taps is unsupported",
                       kernel, kMostConvolutionTaps));
    }
  }

  const ModelSpec& model_;
  std::string where_;
};

/// Parameter names follow from the kind of a mixer, so a layer has one of a kind.
void check_layer(const ModelSpec& model, std::size_t index) {
  const LayerSpec& layer = model.layers[index];
  const std::string where = fmt::format("model configuration, layer {}", index);
  if (layer.blocks.empty()) throw FormatError(where + " has no blocks");
  std::array<int, std::variant_size_v<Mixer>> seen{};
  for (std::size_t i = 0; i < layer.blocks.size(); ++i) {
    const BlockSpec& block = layer.blocks[i];
    const BlockCheck check(model, fmt::format("{}, block {}", where, i));
    if (++seen.at(block.mixer.index()) > 1) check.fail("the layer has another mixer of its kind");
    if (i == 0 && block.input != BlockInput::stream) {
      check.fail("input must be \"stream\" in the first block");
    }
    if (block.input == BlockInput::same_normed &&
        (block.norm || block.input_scale != 1 || !layer.blocks[i - 1].norm)) {
      check.fail("input \"same_normed\" needs a norm in the block before and has none of its own");
    }
    if (block.input_scale != 1 && !block.norm) check.fail("input_scale without norm");
    if (block.residual_scale != 1 && block.post_norm) check.fail("residual_scale with post_norm");
    std::visit(check, block.mixer);
  }
  if (seen[Mixer(FeedForwardSpec{}).index()] + seen[Mixer(ExpertsSpec{}).index()] > 1) {
    throw FormatError(where + " has both feed_forward and experts");
  }
}

void check_rotary(const RotarySpec& rotary, std::size_t index) {
  const auto fail = [&](const std::string& message) {
    throw FormatError(fmt::format("model configuration: rotary[{}]: {}", index, message));
  };
  if (rotary.width < 2 || rotary.width % 2 != 0) {
    fail(fmt::format("width is {}, but rotation needs pairs", rotary.width));
  }
  if (rotary.theta < 1) fail(fmt::format("theta is {}, expected at least 1", rotary.theta));
  if (rotary.scaling == RotaryScaling::yarn && rotary.theta == 1) fail("yarn with theta 1");
  if (rotary.scaling == RotaryScaling::llama3 &&
      rotary.high_freq_factor <= rotary.low_freq_factor) {
    fail("high_freq_factor must exceed low_freq_factor");
  }
  if (rotary.scaling == RotaryScaling::longrope) {
    const auto pairs = static_cast<std::size_t>(rotary.width / 2);
    if (rotary.short_factors.size() != pairs || rotary.long_factors.size() != pairs) {
      fail(fmt::format("short_factors and long_factors have {} and {} entries, expected {}",
                       rotary.short_factors.size(), rotary.long_factors.size(), pairs));
    }
  }
}

}  // namespace

void check_model_spec(const ModelSpec& spec) {
  std::optional<double> original;  // of longrope: a row is long in all tables or in none
  for (std::size_t i = 0; i < spec.rotary.size(); ++i) {
    const RotarySpec& rotary = spec.rotary[i];
    check_rotary(rotary, i);
    if (rotary.scaling != RotaryScaling::longrope) continue;
    if (original.value_or(rotary.original_max_position) != rotary.original_max_position) {
      throw FormatError(fmt::format(
          "model configuration: rotary[{}]: original_max_position is {}, in another table {}", i,
          rotary.original_max_position, *original));
    }
    original = rotary.original_max_position;
  }
  for (std::size_t i = 0; i < spec.layers.size(); ++i) check_layer(spec, i);
  const auto fail = [](const std::string& message) {
    throw FormatError("model configuration: " + message);
  };
  if (spec.head.scale != 1 && !spec.head.norm) fail("head.scale without head.norm");
  if (spec.embedding.positions > 0 &&
      (spec.max_length == 0 || spec.max_length > spec.embedding.positions)) {
    fail(fmt::format("max_length is {}, but embedding.positions holds {}", spec.max_length,
                     spec.embedding.positions));
  }
}

}  // namespace gridmill::model_detail
