#include "model/layout/model_layout.hpp"

#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::model_detail {

namespace {

/// The unit of one layer, block by block.
class LayerLayout {
 public:
  LayerLayout(UnitBuilder& unit, const LayerSpec& layer, std::int64_t hidden_size,
              TensorParallel tp)
      : unit_(unit), D_(hidden_size), tp_(tp) {
    // Attention and mLSTM have q, k and v of the same names.
    for (const BlockSpec& block : layer.blocks) {
      if (std::holds_alternative<AttentionSpec>(block.mixer)) mlstm_prefix_ = "mlstm.";
    }
  }

  BlockParts add(const BlockSpec& block) {
    const std::string name =
        std::visit([](const auto& mixer) { return norm_prefix(mixer); }, block.mixer);
    BlockParts parts;
    if (block.norm) parts.norm = unit_.norm(name + "_norm", D_, block.norm->bias);
    std::visit([&](const auto& mixer) { parts.mixer = mixer_parts(mixer); }, block.mixer);
    if (block.post_norm) {
      parts.post_norm = unit_.norm(name + "_post_norm", D_, block.post_norm->bias);
    }
    return parts;
  }

 private:
  static std::string norm_prefix(const AttentionSpec& /*spec*/) { return "attention"; }
  static std::string norm_prefix(const FeedForwardSpec& /*spec*/) { return "ffn"; }
  static std::string norm_prefix(const ExpertsSpec& /*spec*/) { return "ffn"; }
  static std::string norm_prefix(const MlstmSpec& /*spec*/) { return "mlstm"; }
  static std::string norm_prefix(const LinearRecurrenceSpec& /*spec*/) { return "recurrence"; }
  static std::string norm_prefix(const SlstmSpec& /*spec*/) { return "slstm"; }

  AttentionParts mixer_parts(const AttentionSpec& spec) {
    check_tensor_parallel(tp_, spec.heads, spec.head_width);
    const IndexRange heads = head_slice(tp_, spec.heads);
    const IndexRange kv_heads = kv_head_slice(tp_, spec.kv_heads);
    const std::int64_t width = spec.head_width;
    const IndexRange q = head_elements(heads, width);
    const IndexRange kv = head_elements(kv_heads, width);
    const std::int64_t queries = spec.heads * width;
    const std::int64_t keys = spec.kv_heads * width;
    std::vector<StoredRows> rows = {{"q", queries, q, spec.qkv_bias},
                                    {"k", keys, kv, spec.qkv_bias},
                                    {"v", keys, kv, spec.qkv_bias}};
    if (spec.output_gate) rows.push_back({"q_gate", queries, q, spec.qkv_bias});
    AttentionParts parts;
    parts.inputs = unit_.matrix("qkv", rows, D_);
    if (spec.qk_norm)
      add_qk_norm(spec.qk_norm->scope, {"q_norm", queries, q}, {"k_norm", keys, kv}, width, parts);
    if (spec.sinks) parts.sinks = unit_.vector({"sinks", spec.heads, heads});
    parts.out = unit_.row_parallel("o", D_, queries, spec.out_bias);
    return parts;
  }

  void add_qk_norm(QkNormScope scope, const StoredVector& q, const StoredVector& k,
                   std::int64_t width, AttentionParts& parts) {
    if (scope == QkNormScope::whole && tp_.size > 1) {
      throw UsageError(
          "a q/k norm over all heads cannot be split: it needs the heads of every rank; use "
          "tp = 1");
    }
    if (scope == QkNormScope::head) {
      parts.q_norm = unit_.whole_vector(q.name, width);
      parts.k_norm = unit_.whole_vector(k.name, width);
    } else {
      parts.q_norm = unit_.vector(q);
      parts.k_norm = unit_.vector(k);
    }
  }

  FeedForwardParts mixer_parts(const FeedForwardSpec& spec) {
    const IndexRange hidden = reduction_slice(spec.size, tp_.size, tp_.rank);
    const StoredRows up{"up", spec.size, hidden, spec.up_bias};
    FeedForwardParts parts;
    if (spec.gated) {
      // A factor stands between the product and the gate: gate and up come out apart then.
      parts.up = unit_.matrix("gate_up", {{"gate", spec.size, hidden, spec.up_bias}, up}, D_,
                              spec.gate_scale == 1 ? Fuse::interleave : Fuse::concatenate);
    } else {
      parts.up = unit_.matrix("up", {up}, D_);
    }
    parts.down = unit_.row_parallel("down", D_, spec.size, spec.down_bias);
    return parts;
  }

  /// gate|up and down, whose names begin with `prefix`.
  FeedForwardParts expert_parts(const std::string& prefix, std::int64_t size, bool bias) {
    const IndexRange hidden = reduction_slice(size, tp_.size, tp_.rank);
    FeedForwardParts parts;
    parts.up =
        unit_.matrix(prefix + "gate_up",
                     {{prefix + "gate", size, hidden, bias}, {prefix + "up", size, hidden, bias}},
                     D_, Fuse::interleave);
    parts.down = unit_.row_parallel(prefix + "down", D_, size, bias);
    return parts;
  }

  ExpertsParts mixer_parts(const ExpertsSpec& spec) {
    ExpertsParts parts;
    parts.router = unit_.whole_vector("router", spec.experts * D_);
    if (spec.router_bias) parts.router_bias = unit_.whole_vector("router_bias", spec.experts);
    for (std::int64_t e = 0; e < spec.experts; ++e) {
      parts.experts.push_back(
          expert_parts("experts." + std::to_string(e) + ".", spec.size, spec.bias));
    }
    if (spec.shared_size > 0) parts.shared = expert_parts("shared_", spec.shared_size, false);
    if (spec.shared_gate) parts.shared_router = unit_.whole_vector("shared_router", D_);
    return parts;
  }

  MlstmParts mixer_parts(const MlstmSpec& spec) {
    check_tensor_parallel(tp_, spec.heads, spec.v_size / spec.heads);
    const IndexRange heads = head_slice(tp_, spec.heads);
    const IndexRange values = head_elements(heads, spec.v_size / spec.heads);
    const std::int64_t key_width = spec.qk_size / spec.heads;
    MlstmParts parts;
    if (spec.older) {
      add_older_cell(spec, parts);
    } else {
      const IndexRange keys = head_elements(heads, key_width);
      parts.inputs = unit_.biased_matrix("mlstm_inputs",
                                         {{own("q"), spec.qk_size, keys, spec.bias},
                                          {own("k"), spec.qk_size, keys, spec.bias},
                                          {own("v"), spec.v_size, values, spec.bias},
                                          {own("o_gate"), spec.v_size, values, spec.bias}},
                                         D_);
      parts.gates = unit_.matrix(
          "mlstm_gates",
          {{own("i_gate"), spec.heads, heads, true}, {own("f_gate"), spec.heads, heads, true}}, D_);
    }
    if (spec.qk_norm) {
      parts.q_norm = unit_.whole_vector(own("q_norm"), key_width);
      parts.k_norm = unit_.whole_vector(own("k_norm"), key_width);
    }
    parts.head_norm = unit_.norm({own("head_norm"), spec.v_size, values}, spec.head_norm.bias);
    parts.out = unit_.row_parallel(own("out"), D_, spec.v_size, spec.bias);
    return parts;
  }

  void add_older_cell(const MlstmSpec& spec, MlstmParts& parts) {
    if (tp_.size > 1) {
      throw UsageError(
          "layer_type \"mlstm\" cannot be split: its gates see every head; use tp = 1");
    }
    const std::int64_t I = spec.v_size;
    const std::int64_t taps = spec.older->history ? spec.older->conv_kernel : 1;
    const std::int64_t blocks = I * spec.older->qkv_block_size;
    parts.inputs = unit_.matrix(
        "up_xz", {{own("up_x"), I, all_of(I), false}, {own("up_z"), I, all_of(I), false}}, D_);
    parts.conv = unit_.norm({own("conv"), taps * I, all_of(taps * I)}, false);
    parts.conv.bias = unit_.whole_vector(own("conv_bias"), I);
    parts.q = unit_.whole_vector(own("q"), blocks);
    parts.k = unit_.whole_vector(own("k"), blocks);
    parts.v = unit_.whole_vector(own("v"), blocks);
    const IndexRange heads = all_of(spec.heads);
    parts.gates = unit_.matrix(
        "gates",
        {{own("i_gate"), spec.heads, heads, true}, {own("f_gate"), spec.heads, heads, true}},
        spec.older->gate_input == GateInput::qkv ? 3 * I : I);
    parts.skip = unit_.whole_vector(own("skip"), I);
  }

  /// Channels of the convolution that this rank holds, tap by tap: q, k and v follow each other.
  struct Channels {
    std::int64_t all = 0;
    std::vector<IndexRange> held;

    [[nodiscard]] std::vector<IndexRange> of_taps(std::int64_t taps) const {
      std::vector<IndexRange> ranges;
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        for (const IndexRange& range : held)
          ranges.push_back({tap * all + range.first, range.count});
      }
      return ranges;
    }
  };

  LinearRecurrenceParts mixer_parts(const LinearRecurrenceSpec& spec) {
    check_tensor_parallel(tp_, spec.heads, spec.value_width);
    const IndexRange heads = head_slice(tp_, spec.heads);
    const IndexRange values = head_elements(heads, spec.value_width);
    const IndexRange keys = head_elements(key_head_slice(tp_, spec.key_heads), spec.key_width);
    const std::int64_t all_keys = spec.key_heads * spec.key_width;
    const std::int64_t all_values = spec.heads * spec.value_width;
    const auto own = [](const char* name) { return std::string("recurrence.") + name; };
    std::vector<StoredRows> rows = {{own("q"), all_keys, keys, spec.bias},
                                    {own("k"), all_keys, keys, spec.bias},
                                    {own("v"), all_values, values, spec.bias},
                                    {own("gate"), all_values, values, spec.bias},
                                    {own("decay"), spec.heads, heads, spec.bias}};
    if (spec.update == RecurrenceUpdate::delta) {
      rows.push_back({own("strength"), spec.heads, heads, spec.bias});
    }
    LinearRecurrenceParts parts;
    parts.inputs = unit_.matrix(own("inputs"), rows, D_);
    const Channels channels{.all = 2 * all_keys + all_values,
                            .held = {keys,
                                     {all_keys + keys.first, keys.count},
                                     {2 * all_keys + values.first, values.count}}};
    parts.conv.weight = unit_.pieces_of_vector(own("conv"), spec.conv_kernel * channels.all,
                                               channels.of_taps(spec.conv_kernel));
    if (spec.conv_bias) {
      parts.conv.bias = unit_.pieces_of_vector(own("conv_bias"), channels.all, channels.of_taps(1));
    }
    parts.step_bias = unit_.vector({own("step_bias"), spec.heads, heads});
    parts.a_log = unit_.vector({own("a_log"), spec.heads, heads});
    if (spec.skip) parts.skip = unit_.vector({own("skip"), spec.heads, heads});
    if (spec.norm) parts.norm = recurrence_norm(*spec.norm, own("norm"), all_values, values);
    parts.out = unit_.row_parallel(own("out"), D_, all_values, spec.bias);
    return parts;
  }

  PartIndex recurrence_norm(const RecurrenceNormSpec& norm, const std::string& name,
                            std::int64_t all_values, IndexRange values) {
    if (norm.groups % tp_.size != 0) {
      throw UsageError(fmt::format(
          "tp = {} cannot split a recurrence's norm over {} groups of heads: it needs the heads of "
          "every rank; use a tp that divides the groups",
          tp_.size, norm.groups));
    }
    if (norm.shared_weight) return unit_.whole_vector(name, all_values / norm.groups);
    return unit_.vector({name, all_values, values});
  }

  SlstmParts mixer_parts(const SlstmSpec& spec) {
    if (tp_.size > 1) {
      throw UsageError(
          "sLSTM layers cannot be split: no product behind them joins the heads; use tp = 1");
    }
    const std::int64_t blocks = D_ * (D_ / spec.heads);
    const auto own = [](const char* name) { return std::string("slstm.") + name; };
    SlstmParts parts;
    if (spec.conv_kernel > 0) {
      parts.conv.weight = unit_.whole_vector(own("conv"), spec.conv_kernel * D_);
      parts.conv.bias = unit_.whole_vector(own("conv_bias"), D_);
    }
    parts.i = unit_.whole_vector(own("i_gate"), blocks);
    parts.f = unit_.whole_vector(own("f_gate"), blocks);
    parts.z = unit_.whole_vector(own("z_gate"), blocks);
    parts.o = unit_.whole_vector(own("o_gate"), blocks);
    parts.recurrent = unit_.whole_vector(own("recurrent"), 4 * blocks);
    parts.bias = unit_.whole_vector(own("bias"), 4 * D_);
    if (spec.norm_weight) parts.head_norm = unit_.whole_vector(own("head_norm"), D_);
    return parts;
  }

  [[nodiscard]] std::string own(const char* name) const { return mlstm_prefix_ + name; }

  UnitBuilder& unit_;
  std::int64_t D_;
  TensorParallel tp_;
  std::string mlstm_prefix_;
};

}  // namespace

ModelLayout layout_of(const ModelSpec& spec, TensorParallel tp) {
  check_tensor_parallel(tp);
  const std::int64_t V = spec.vocab_size;
  const std::int64_t D = spec.hidden_size;
  const IndexRange ids = vocabulary_slice(V, tp.size, tp.rank);
  ModelLayout layout;
  ModelParameters& parameters = layout.parameters;
  parameters.embedding_ids = ids;
  const auto next_unit = [&] { return static_cast<UnitId>(parameters.units.size()); };

  if (spec.head.tied) {
    parameters.stored.push_back({"embedding", {V, D}});
  } else {
    parameters.embedding_unit = next_unit();
    UnitBuilder embedding("embedding", "", tp, parameters.stored);
    embedding.table("embedding", V, ids, D);
    parameters.units.push_back(embedding.take());
  }
  if (spec.embedding.positions > 0) {
    layout.positions_unit = next_unit();
    UnitBuilder positions("positions", "", tp, parameters.stored);
    positions.table("positions", spec.embedding.positions, all_of(spec.embedding.positions), D);
    parameters.units.push_back(positions.take());
  }
  layout.first_layer = next_unit();
  for (std::size_t i = 0; i < spec.layers.size(); ++i) {
    const std::string name = "layers." + std::to_string(i);
    UnitBuilder unit(name, name + ".", tp, parameters.stored);
    LayerLayout layer(unit, spec.layers[i], D, tp);
    LayerParts& parts = layout.layers.emplace_back();
    for (const BlockSpec& block : spec.layers[i].blocks) parts.push_back(layer.add(block));
    parameters.units.push_back(unit.take());
  }
  UnitBuilder head("head", "", tp, parameters.stored);
  if (spec.head.norm) layout.final_norm = head.norm("final_norm", D, spec.head.norm->bias);
  if (spec.head.tied) {
    // A tied model looks token rows up in the head.
    parameters.embedding_unit = next_unit();
    layout.head.weight = head.tied_matrix("head", {"embedding", ids, all_of(D)}, D);
  } else {
    layout.head = head.matrix("head", {{"head", V, ids, false}}, D);
  }
  if (spec.head.bias) layout.head.bias = head.vector({"head_bias", V, ids});
  parameters.units.push_back(head.take());
  return layout;
}

}  // namespace gridmill::model_detail
