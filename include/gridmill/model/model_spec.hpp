#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill {

// A model as data (docs/models.md has the formulas, the JSON form and the parameter names). A
// checkpoint stores one ModelSpec; no engine code is for one family. Widths are those of the whole
// model, not of a tp rank.

struct NormSpec {
  NormKind kind = NormKind::rms;
  double eps = 1e-6;
  /// A bias beside the weight. (1 + w) of some families is folded into the weight by convert.
  bool bias = false;
  bool operator==(const NormSpec& other) const = default;
};

enum class RotaryScaling : std::uint8_t { none, linear, llama3, yarn, longrope };

/// One rotary table of the model: component i of a head turns with component i + width / 2 by
/// position * frequency i. Interleaved pairs are put into this order by convert.
struct RotarySpec {
  /// Rotated components of a head, even; those behind them pass unchanged.
  std::int64_t width = 0;
  double theta = 10000;
  RotaryScaling scaling = RotaryScaling::none;
  /// linear, llama3, yarn.
  double factor = 1;
  /// llama3.
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  /// llama3, yarn; longrope: rows of more tokens use the long factors.
  double original_max_position = 8192;
  /// yarn.
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;
  /// longrope: divisors of the width / 2 frequencies.
  std::vector<double> short_factors = {};
  std::vector<double> long_factors = {};
  /// Factor of cos and sin (yarn, longrope: the attention factor).
  double magnitude = 1;
  bool operator==(const RotarySpec& other) const = default;
};

/// Extent that a q/k norm normalises; it also gives the number of weights.
enum class QkNormScope : std::uint8_t {
  head,       ///< every head alone, one weight [Dh] for all
  each_head,  ///< every head alone, a weight of its own: [H Dh], [K Dh]
  whole,      ///< all heads together: [H Dh], [K Dh]
};
struct QkNormSpec {
  QkNormScope scope = QkNormScope::head;
  /// Without bias.
  NormSpec norm;
  bool operator==(const QkNormSpec& other) const = default;
};

struct AttentionSpec {
  std::int64_t heads = 0;
  /// Divides heads.
  std::int64_t kv_heads = 0;
  std::int64_t head_width = 0;
  /// Index into ModelSpec::rotary; none: no rotation in this layer.
  std::optional<std::int64_t> rotary = std::nullopt;
  /// Visible: the last `window` positions, the current one included; none: all.
  std::optional<std::int64_t> window = std::nullopt;
  double score_scale = 1;
  /// score = cap tanh(score / cap); 0 = none.
  double score_cap = 0;
  /// q, k and v are clamped to [-clip, clip], behind the q/k norm; 0 = none.
  double clip_qkv = 0;
  std::optional<QkNormSpec> qk_norm = std::nullopt;
  /// A learned score a head that joins the softmax and whose probability is dropped.
  bool sinks = false;
  /// The output of each head is multiplied by sigmoid(q_gate u).
  bool output_gate = false;
  bool qkv_bias = false;
  bool out_bias = false;
  bool operator==(const AttentionSpec& other) const = default;
};

struct FeedForwardSpec {
  std::int64_t size = 0;
  /// act(gate u) * (up u), else act(up u).
  bool gated = true;
  Activation activation = Activation::silu;
  /// On gate and up.
  bool up_bias = false;
  bool down_bias = false;
  /// act(gate_scale * gate u); 1 without gate.
  double gate_scale = 1;
  bool operator==(const FeedForwardSpec& other) const = default;
};

enum class ExpertKind : std::uint8_t {
  gated,    ///< act(gate u) * (up u)
  clamped,  ///< gpt_oss: g = min(gate u, limit), (clip(up u, limit) + 1) g sigmoid(1.702 g)
};

struct ExpertsSpec {
  std::int64_t experts = 0;
  /// Experts that a token goes through: the largest products, the lower index first among equals.
  std::int64_t per_token = 0;
  /// Width of one expert.
  std::int64_t size = 0;
  ExpertKind kind = ExpertKind::gated;
  /// gated.
  Activation activation = Activation::silu;
  /// clamped.
  double limit = 7;
  RouterWeights router_weights = RouterWeights::softmax_all;
  bool router_bias = false;
  /// On gate, up and down of every expert.
  bool bias = false;
  /// Width of an expert that every token goes through, gated with the same activation; 0 = none.
  std::int64_t shared_size = 0;
  /// The shared expert's output is multiplied by sigmoid(shared_router u).
  bool shared_gate = false;
  bool operator==(const ExpertsSpec& other) const = default;
};

/// Inputs of the gates of the older mLSTM layer: q|k|v, or one of three stages of the
/// up-projection.
enum class GateInput : std::uint8_t { qkv, x, conv, conv_act };

/// The older, Mamba-like mLSTM layer of xlstm-jax and of NX-AI's xlstm package.
struct OlderMlstmSpec {
  /// Without history informative: in generation only the last tap sees data.
  std::int64_t conv_kernel = 0;
  /// The convolution sees earlier tokens (NX-AI's package; xlstm-jax keeps none in generation).
  bool history = false;
  std::int64_t qkv_block_size = 0;
  GateInput gate_input = GateInput::qkv;
  bool operator==(const OlderMlstmSpec& other) const = default;
};

struct MlstmSpec {
  std::int64_t heads = 0;
  /// Over all heads.
  std::int64_t qk_size = 0;
  std::int64_t v_size = 0;
  /// Over each head's values.
  NormSpec head_norm;
  /// Norm of every q and k head, one weight [dqk] each, without bias.
  std::optional<NormSpec> qk_norm = std::nullopt;
  double denominator_eps = 1e-6;
  /// 0 = none.
  double gate_soft_cap = 0;
  /// On q, k, v, o_gate and out; the gates i and f always have one.
  bool bias = false;
  std::optional<OlderMlstmSpec> older = std::nullopt;
  bool operator==(const MlstmSpec& other) const = default;
};

/// Norm over equal groups of a recurrence's values.
struct RecurrenceNormSpec {
  /// Without bias.
  NormSpec norm;
  /// Divides the heads.
  std::int64_t groups = 0;
  /// One weight for all groups, [H dv / groups]; else [H dv].
  bool shared_weight = false;
  bool operator==(const RecurrenceNormSpec& other) const = default;
};

/// Factors of the input projections.
struct RecurrenceScales {
  double q = 1;
  double k = 1;
  double v = 1;
  double gate = 1;
  double decay = 1;
  bool operator==(const RecurrenceScales& other) const = default;
};

/// Mamba-2 and the gated delta net: [q | k | v] through a short convolution and silu, a decay a
/// head, linear_recurrence, and an output gate silu(gate u).
struct LinearRecurrenceSpec {
  /// Heads of values.
  std::int64_t heads = 0;
  /// Divides heads (Mamba-2: groups).
  std::int64_t key_heads = 0;
  std::int64_t key_width = 0;
  std::int64_t value_width = 0;
  /// add: the strength of a value is its softplus; delta: sigmoid(strength u).
  RecurrenceUpdate update = RecurrenceUpdate::add;
  /// 1 to kMostConvolutionTaps.
  std::int64_t conv_kernel = 0;
  bool conv_bias = false;
  /// eps of x / sqrt(sum x^2 + eps) of every q and k head; 0 = no norm.
  double l2_norm_eps = 0;
  double query_scale = 1;
  /// + skip v, a number a head.
  bool skip = false;
  std::optional<RecurrenceNormSpec> norm = std::nullopt;
  /// The gate before the norm.
  bool gate_first = false;
  /// On all projections.
  bool bias = false;
  std::optional<RecurrenceScales> scales = std::nullopt;
  bool operator==(const LinearRecurrenceSpec& other) const = default;
};

/// sLSTM cells of NX-AI's xlstm package over the whole width of the model; no product behind them.
struct SlstmSpec {
  /// Divides the hidden size.
  std::int64_t heads = 0;
  /// Taps of the convolution before the gates i and f; 0 = none.
  std::int64_t conv_kernel = 0;
  /// Over each head, weight [D] if `norm_weight`; without bias.
  NormSpec head_norm;
  bool norm_weight = true;
  bool operator==(const SlstmSpec& other) const = default;
};

/// A layer has at most one mixer of each alternative, and one of feed-forward and experts:
/// parameter names follow from the kind.
using Mixer = std::variant<AttentionSpec, FeedForwardSpec, ExpertsSpec, MlstmSpec,
                           LinearRecurrenceSpec, SlstmSpec>;

/// Input of a block.
enum class BlockInput : std::uint8_t {
  stream,       ///< the residual stream as all earlier blocks left it
  beside,       ///< the residual stream that the block before it read, through a norm of its own
  same_normed,  ///< the same normed input as the block before it, which has the norm
};

/// stream += residual_scale * post_norm(mixer(input_scale * norm(input))).
struct BlockSpec {
  BlockInput input = BlockInput::stream;
  /// None: the input as it is (or as the block before has normed it).
  std::optional<NormSpec> norm = std::nullopt;
  /// Needs a norm, except 1.
  double input_scale = 1;
  Mixer mixer;
  std::optional<NormSpec> post_norm = std::nullopt;
  double residual_scale = 1;
  bool operator==(const BlockSpec& other) const = default;
};

struct LayerSpec {
  std::vector<BlockSpec> blocks;
  bool operator==(const LayerSpec& other) const = default;
};

/// stream = scale * embedding[token] (+ positions[position]).
struct EmbeddingSpec {
  double scale = 1;
  /// Learned positions, and the longest row; 0 = none.
  std::int64_t positions = 0;
  bool operator==(const EmbeddingSpec& other) const = default;
};

/// logits = cap(scale * (head norm(stream) + bias)).
struct HeadSpec {
  std::optional<NormSpec> norm = std::nullopt;
  bool bias = false;
  /// Needs a norm, except 1.
  double scale = 1;
  /// soft_cap tanh(x / soft_cap); 0 = none.
  double soft_cap = 0;
  /// The embedding is the head.
  bool tied = false;
  bool operator==(const HeadSpec& other) const = default;
};

struct ModelSpec {
  /// Informative: the foreign model_type, "llama", "gemma2", ...
  std::string family;
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  /// Longest supported row; 0 = no limit.
  std::int64_t max_length = 0;
  /// -1 = none.
  TokenId bos_id = -1;
  std::vector<TokenId> eod_ids = {};
  EmbeddingSpec embedding;
  std::vector<RotarySpec> rotary = {};
  std::vector<LayerSpec> layers;
  HeadSpec head;
  bool operator==(const ModelSpec& other) const = default;
};

/// Version of the JSON form that to_json writes.
inline constexpr std::int64_t kModelFormat = 2;

/// The JSON form of docs/models.md. read_model_spec takes back what this wrote, unchanged.
[[nodiscard]] Json to_json(const ModelSpec& spec);

/// Reads a model configuration: format 2, or that of checkpoints without a format (families llama
/// and xlstm).
/// @throws FormatError naming a field that is unknown, missing or impossible, or a format that a
/// newer gridmill wrote.
[[nodiscard]] ModelSpec read_model_spec(const Json& config);

}  // namespace gridmill
