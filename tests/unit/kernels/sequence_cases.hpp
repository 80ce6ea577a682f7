#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "unit/kernels/test_device.hpp"

namespace gridmill::testing {

/// How sequences are fed: which of them share batches, cut into which pieces, in which order.
struct Feed {
  std::vector<int> sequences{};  ///< indices into the case's lengths; their order in a batch
  int piece = 1 << 20;           ///< at most so many tokens of a sequence in one batch
  int first_slot = 0;            ///< sequence s lives in slot (first_slot + s) mod slots
  bool spoiled = false;          ///< every slot held NaN before
};
/// All sequences of a case with `count` sequences, in order, cut into pieces.
[[nodiscard]] Feed all_of(std::size_t count, int piece = 1 << 20);

struct AttentionCase {
  std::vector<int> lengths{};
  int heads = 1;
  int kv_heads = 1;
  int head_dim = 2;
  int window = 0;
  bool qk_norm = false;
  int infinite = -1;      ///< token of every sequence whose values are
  int rotary_width = -1;  ///< -1 = head_dim, 0 = no rotation
  NormKind norm_kind = NormKind::rms;
  bool own_norms = false;  ///< a weight for every head
  float clip = 0;
  float score_cap = 0;
  bool sinks = false;
  bool long_rows = false;  ///< the second table applies to every other sequence
  bool output_gate = false;

  [[nodiscard]] int rotated() const { return rotary_width < 0 ? head_dim : rotary_width; }
};
[[nodiscard]] std::string text(const AttentionCase& attention);
[[nodiscard]] std::vector<AttentionCase> attention_cases();
/// With an output gate, which not every backend runs.
[[nodiscard]] std::vector<AttentionCase> gated_attention_cases();
[[nodiscard]] std::vector<float> sink_scores(const AttentionCase& attention);

struct MlstmCase {
  std::vector<int> lengths{};
  int heads = 1;
  int qk_dim = 1;
  int v_dim = 1;
  float gate_soft_cap = 0;
  bool qk_norm = false;
  bool output_gate = true;
  NormKind head_norm = NormKind::layer;
  bool norm_bias = false;
};
[[nodiscard]] std::string text(const MlstmCase& mlstm);
[[nodiscard]] std::vector<MlstmCase> mlstm_cases();

/// Of one sequence: outputs of all its tokens, and its state at the end in canonical form.
struct SequenceResult {
  Matrix outputs;
  std::vector<float> state;
};

/// Inputs of sequence `index` of a case, [length, columns].
[[nodiscard]] Matrix attention_inputs(const AttentionCase& attention, int index);
[[nodiscard]] Matrix mlstm_inputs(const MlstmCase& mlstm, int index);
/// [positions][cos, sin][head_dim / 2] with plain numbers: an attention does not know its angles.
/// @param theta  100, and 1000 for long rows
[[nodiscard]] Matrix rotary_table(int positions, int width, double theta = 100);
/// One row of it, [1, width].
[[nodiscard]] Matrix rotary_row(int position, int width, double theta = 100);
[[nodiscard]] std::vector<float> norm_weights(std::int64_t size, std::uint32_t seed);

/// One result for every sequence of the feed, in its order.
[[nodiscard]] std::vector<SequenceResult> run_attention(TestDevice& device,
                                                        const AttentionCase& attention,
                                                        const Feed& feed);
/// @param packed  mlstm(), else mlstm_unpacked().
[[nodiscard]] std::vector<SequenceResult> run_mlstm(TestDevice& device, const MlstmCase& mlstm,
                                                    const Feed& feed, bool packed = true);

/// One batch through an operation: rows of its inputs to rows of its outputs.
using Step = std::function<Matrix(const std::vector<TokenSpan>&, const Matrix& rows)>;
/// Feeds every batch to `step` and sorts the output rows by sequence.
/// @param inputs  of the sequences of the feed, in its order.
[[nodiscard]] std::vector<SequenceResult> feed_all(const std::vector<int>& lengths,
                                                   const Feed& feed, int slots,
                                                   const std::vector<Matrix>& inputs,
                                                   std::int64_t output_columns, const Step& step,
                                                   SequenceState& state);

[[nodiscard]] ::testing::AssertionResult same_bits(const std::vector<SequenceResult>& actual,
                                                   const std::vector<SequenceResult>& expected);

}  // namespace gridmill::testing
