#include "unit/kernels/sequence_cases.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "gridmill/base/format.hpp"

namespace gridmill::testing {

namespace {

constexpr int kLayers = 2;
constexpr int kLayer = 1;

SlotId slot_of(const Feed& feed, int sequence, int slots) {
  return (feed.first_slot + sequence) % slots;
}

/// Spans of one batch, and the (sequence of the feed, token) of each of its rows.
struct Batch {
  std::vector<TokenSpan> spans;
  std::vector<std::pair<std::size_t, int>> rows;
};

std::vector<Batch> batches_of(const std::vector<int>& lengths, const Feed& feed, int slots) {
  std::vector<Batch> batches;
  std::vector<int> fed(feed.sequences.size(), 0);
  for (;;) {
    Batch batch;
    for (std::size_t s = 0; s < feed.sequences.size(); ++s) {
      const int sequence = feed.sequences[s];
      const int left = lengths[static_cast<std::size_t>(sequence)] - fed[s];
      const int tokens = std::min(left, feed.piece);
      if (tokens == 0) continue;
      batch.spans.push_back({.slot = slot_of(feed, sequence, slots),
                             .position = fed[s],
                             .row = static_cast<std::int64_t>(batch.rows.size()),
                             .tokens = tokens,
                             .given = fed[s] % 2 == 0});
      for (int t = 0; t < tokens; ++t) batch.rows.emplace_back(s, fed[s]++);
    }
    if (batch.spans.empty()) return batches;
    batches.push_back(std::move(batch));
  }
}

/// Rows of a batch, gathered from the inputs of its sequences.
Matrix rows_of(const Batch& batch, const std::vector<Matrix>& inputs) {
  Matrix rows({static_cast<std::int64_t>(batch.rows.size()), inputs[0].extent(1)});
  for (std::size_t i = 0; i < batch.rows.size(); ++i) {
    const auto [sequence, token] = batch.rows[i];
    const auto source = inputs[sequence].view().row(token);
    std::copy(source.begin(), source.end(), rows.view().row(static_cast<std::int64_t>(i)).begin());
  }
  return rows;
}

/// Fills every slot with NaN and empties it.
void spoil(SequenceState& state, int slots, std::int64_t length) {
  const std::vector<float> nothing(state.saved_floats(length),
                                   std::numeric_limits<float>::quiet_NaN());
  for (SlotId slot = 0; slot < slots; ++slot) state.load(slot, length, nothing);
  for (SlotId slot = 0; slot < slots; ++slot) state.reset(slot);
}

}  // namespace

std::vector<SequenceResult> feed_all(const std::vector<int>& lengths, const Feed& feed, int slots,
                                     const std::vector<Matrix>& inputs, std::int64_t output_columns,
                                     const Step& step, SequenceState& state) {
  if (feed.spoiled) spoil(state, slots, *std::max_element(lengths.begin(), lengths.end()));
  std::vector<SequenceResult> results;
  for (const int sequence : feed.sequences) {
    results.push_back({Matrix({lengths[static_cast<std::size_t>(sequence)], output_columns}), {}});
  }
  for (const Batch& batch : batches_of(lengths, feed, slots)) {
    const Matrix outputs = step(batch.spans, rows_of(batch, inputs));
    for (std::size_t i = 0; i < batch.rows.size(); ++i) {
      const auto [sequence, token] = batch.rows[i];
      const auto source = outputs.view().row(static_cast<std::int64_t>(i));
      std::copy(source.begin(), source.end(), results[sequence].outputs.view().row(token).begin());
    }
  }
  for (std::size_t s = 0; s < results.size(); ++s) {
    const std::int64_t length = results[s].outputs.extent(0);
    results[s].state.resize(state.saved_floats(length));
    state.save(slot_of(feed, feed.sequences[s], slots), length, results[s].state);
  }
  return results;
}

Feed all_of(std::size_t count, int piece) {
  Feed feed{.sequences = std::vector<int>(count), .piece = piece};
  std::iota(feed.sequences.begin(), feed.sequences.end(), 0);
  return feed;
}

std::string text(const AttentionCase& attention) {
  return fmt::format(
      "{} sequences, first {} tokens, heads {} / {} of {}, window {}, qk norm {} kind {} own {}, "
      "rotated {}, clip {}, cap {}, sinks {}, long rows {}, gate {}",
      attention.lengths.size(), attention.lengths[0], attention.heads, attention.kv_heads,
      attention.head_dim, attention.window, attention.qk_norm,
      static_cast<int>(attention.norm_kind), attention.own_norms, attention.rotated(),
      attention.clip, attention.score_cap, attention.sinks, attention.long_rows,
      attention.output_gate);
}

std::vector<AttentionCase> attention_cases() {
  return {
      {.lengths = {1}, .heads = 1, .kv_heads = 1, .head_dim = 2},
      {.lengths = {3, 70, 1}, .heads = 4, .kv_heads = 2, .head_dim = 6},
      {.lengths = {64, 65, 63}, .heads = 3, .kv_heads = 3, .head_dim = 16, .qk_norm = true},
      {.lengths = {140, 20}, .heads = 6, .kv_heads = 1, .head_dim = 10, .window = 8},
      {.lengths = {200}, .heads = 2, .kv_heads = 2, .head_dim = 34, .window = 70},
      {.lengths = {130, 64, 1}, .heads = 7, .kv_heads = 7, .head_dim = 12, .window = 70},
      {.lengths = {90}, .heads = 2, .kv_heads = 1, .head_dim = 8, .window = 1},
      {.lengths = {150}, .heads = 2, .kv_heads = 1, .head_dim = 64, .window = 64, .qk_norm = true},
      // More query heads than a thread block of a device takes; heads of every size of its tiles.
      {.lengths = {67, 5}, .heads = 20, .kv_heads = 2, .head_dim = 8},
      {.lengths = {9, 66}, .heads = 3, .kv_heads = 1, .head_dim = 72, .window = 33},
      {.lengths = {70, 4}, .heads = 6, .kv_heads = 1, .head_dim = 136},
      {.lengths = {12}, .heads = 2, .kv_heads = 2, .head_dim = 256},
      // More than one split of 512 positions.
      {.lengths = {530}, .heads = 1, .kv_heads = 1, .head_dim = 8},
      // Switches of the families: a part rotated, or nothing; scores capped; sinks; clamps; norms.
      {.lengths = {70, 3}, .heads = 4, .kv_heads = 2, .head_dim = 16, .rotary_width = 6},
      {.lengths = {20}, .heads = 2, .kv_heads = 1, .head_dim = 10, .rotary_width = 0},
      {.lengths = {66}, .heads = 2, .kv_heads = 1, .head_dim = 16, .window = 9, .score_cap = 2},
      {.lengths = {70, 1}, .heads = 4, .kv_heads = 2, .head_dim = 8, .window = 20, .sinks = true},
      {.lengths = {530}, .heads = 1, .kv_heads = 1, .head_dim = 32, .score_cap = 9, .sinks = true},
      {.lengths = {40}, .heads = 2, .kv_heads = 2, .head_dim = 12, .sinks = true},
      {.lengths = {30}, .heads = 3, .kv_heads = 1, .head_dim = 6, .qk_norm = true, .clip = 0.7F},
      {.lengths = {33},
       .heads = 4,
       .kv_heads = 2,
       .head_dim = 20,
       .qk_norm = true,
       .rotary_width = 8,
       .norm_kind = NormKind::layer,
       .own_norms = true},
      {.lengths = {9, 12}, .heads = 2, .kv_heads = 1, .head_dim = 8, .long_rows = true},
  };
}

std::vector<AttentionCase> gated_attention_cases() {
  return {
      {.lengths = {70, 2}, .heads = 4, .kv_heads = 2, .head_dim = 16, .output_gate = true},
      {.lengths = {9},
       .heads = 3,
       .kv_heads = 3,
       .head_dim = 7,
       .rotary_width = 4,
       .sinks = true,
       .output_gate = true},
  };
}

std::vector<float> sink_scores(const AttentionCase& attention) {
  return Numbers(7).vector(attention.heads, 2.0F);
}

std::string text(const MlstmCase& mlstm) {
  return fmt::format(
      "{} sequences, first {} tokens, heads {} of {} x {}, cap {}, qk norm {}, gate {}, head norm "
      "{} bias {}",
      mlstm.lengths.size(), mlstm.lengths[0], mlstm.heads, mlstm.qk_dim, mlstm.v_dim,
      mlstm.gate_soft_cap, mlstm.qk_norm, mlstm.output_gate, static_cast<int>(mlstm.head_norm),
      mlstm.norm_bias);
}

std::vector<MlstmCase> mlstm_cases() {
  return {
      {.lengths = {1}, .heads = 1, .qk_dim = 1, .v_dim = 1},
      {.lengths = {5, 70, 1}, .heads = 2, .qk_dim = 5, .v_dim = 7, .gate_soft_cap = 15},
      {.lengths = {33, 2},
       .heads = 3,
       .qk_dim = 17,
       .v_dim = 33,
       .qk_norm = true,
       .norm_bias = true},
      {.lengths = {20, 20},
       .heads = 4,
       .qk_dim = 16,
       .v_dim = 32,
       .gate_soft_cap = 15,
       .output_gate = false,
       .head_norm = NormKind::rms},
      {.lengths = {40}, .heads = 1, .qk_dim = 48, .v_dim = 96, .gate_soft_cap = 15},
      {.lengths = {9, 17}, .heads = 2, .qk_dim = 31, .v_dim = 130},
      // Heads as wide as the eighths that kernels have room for, and others; tokens around the
      // tiles that they bring at a time.
      {.lengths = {8, 17, 7}, .heads = 2, .qk_dim = 64, .v_dim = 20, .gate_soft_cap = 15},
      {.lengths = {9, 1}, .heads = 1, .qk_dim = 128, .v_dim = 33, .qk_norm = true},
      {.lengths = {13}, .heads = 1, .qk_dim = 100, .v_dim = 6},
      {.lengths = {12, 5}, .heads = 1, .qk_dim = 256, .v_dim = 48, .gate_soft_cap = 15},
      {.lengths = {16}, .heads = 1, .qk_dim = 200, .v_dim = 3},
      {.lengths = {6, 5}, .heads = 1, .qk_dim = 512, .v_dim = 5, .head_norm = NormKind::rms},
      {.lengths = {9}, .heads = 1, .qk_dim = 300, .v_dim = 34},
      {.lengths = {5}, .heads = 1, .qk_dim = 8, .v_dim = 520, .norm_bias = true},
  };
}

Matrix attention_inputs(const AttentionCase& attention, int index) {
  const int keys = attention.kv_heads * attention.head_dim;
  const int queries = attention.heads * attention.head_dim;
  const int columns = (attention.output_gate ? 2 : 1) * queries + 2 * keys;
  Matrix inputs = Numbers(100 + static_cast<std::uint32_t>(index))
                      .matrix(attention.lengths[static_cast<std::size_t>(index)], columns, 2.0F);
  if (attention.infinite >= 0) {
    const auto values =
        inputs.view()
            .row(attention.infinite)
            .subspan(static_cast<std::size_t>(queries + keys), static_cast<std::size_t>(keys));
    std::fill(values.begin(), values.end(), std::numeric_limits<float>::infinity());
  }
  return inputs;
}

Matrix mlstm_inputs(const MlstmCase& mlstm, int index) {
  const int widths = mlstm.heads * (2 * mlstm.qk_dim + mlstm.v_dim * (mlstm.output_gate ? 2 : 1));
  Numbers numbers(200 + static_cast<std::uint32_t>(index));
  Matrix inputs = numbers.matrix(mlstm.lengths[static_cast<std::size_t>(index)],
                                 widths + 2 * mlstm.heads, 2.0F);
  // Forget gates of a trained model are mostly open.
  for (std::int64_t row = 0; row < inputs.extent(0); ++row) {
    for (int head = 0; head < mlstm.heads; ++head) inputs(row, widths + mlstm.heads + head) += 2.0F;
  }
  return inputs;
}

Matrix rotary_row(int position, int head_dim, double theta) {
  Matrix row({1, head_dim});
  for (int i = 0; i < head_dim / 2; ++i) {
    const double angle = position * std::pow(theta, -2.0 * i / head_dim);
    row(0, i) = static_cast<float>(std::cos(angle));
    row(0, head_dim / 2 + i) = static_cast<float>(std::sin(angle));
  }
  return row;
}

Matrix rotary_table(int positions, int head_dim, double theta) {
  Matrix table({positions, head_dim});
  for (int position = 0; position < positions; ++position) {
    const Matrix row = rotary_row(position, head_dim, theta);
    std::copy(row.flat().begin(), row.flat().end(), table.view().row(position).begin());
  }
  return table;
}

std::vector<float> norm_weights(std::int64_t size, std::uint32_t seed) {
  std::vector<float> weights = Numbers(seed).vector(size, 0.5F);
  for (float& weight : weights) weight += 1.0F;
  return weights;
}

std::vector<SequenceResult> run_attention(TestDevice& device, const AttentionCase& attention,
                                          const Feed& feed) {
  Backend& backend = device.backend();
  const int longest = *std::max_element(attention.lengths.begin(), attention.lengths.end());
  const int slots = static_cast<int>(attention.lengths.size()) + 1;
  const std::unique_ptr<KvCache> cache = backend.make_kv_cache({.layers = kLayers,
                                                                .kv_heads = attention.kv_heads,
                                                                .head_dim = attention.head_dim,
                                                                .slots = slots,
                                                                .max_length = longest});
  Attention options{.heads = attention.heads,
                    .kv_heads = attention.kv_heads,
                    .head_dim = attention.head_dim,
                    .scale = 1.0F / std::sqrt(static_cast<float>(attention.head_dim)),
                    .window = attention.window,
                    .q_norm = {},
                    .k_norm = {},
                    .norm_eps = 1e-6F,
                    .rotary = {},
                    .norm_kind = attention.norm_kind,
                    .clip = attention.clip,
                    .score_cap = attention.score_cap,
                    .output_gate = attention.output_gate};
  if (attention.rotated() > 0) {
    options.rotary = device.matrix(rotary_table(longest, attention.rotated()));
    if (attention.long_rows) {
      options.long_rotary = device.matrix(rotary_table(longest, attention.rotated(), 1000));
    }
  }
  if (attention.qk_norm) {
    const int width = attention.head_dim;
    options.q_norm =
        device.vector(norm_weights(attention.own_norms ? attention.heads * width : width, 1));
    options.k_norm =
        device.vector(norm_weights(attention.own_norms ? attention.kv_heads * width : width, 2));
  }
  if (attention.sinks) options.sinks = device.vector(sink_scores(attention));
  std::vector<Matrix> inputs;
  for (const int sequence : feed.sequences) {
    inputs.push_back(attention_inputs(attention, sequence));
  }
  const std::int64_t width = attention.heads * attention.head_dim;
  const Step step = [&](const std::vector<TokenSpan>& spans, const Matrix& rows) {
    const PackedRows out = device.packed(rows.extent(0), width);
    std::vector<TokenSpan> told = spans;
    for (TokenSpan& span : told) span.long_row = attention.long_rows && span.slot % 2 == 1;
    backend.attend(device.stream(), told, options, kLayer, device.matrix(rows), *cache, out);
    return device.unpack(out);
  };
  return feed_all(attention.lengths, feed, slots, inputs, width, step, *cache);
}

std::vector<SequenceResult> run_mlstm(TestDevice& device, const MlstmCase& mlstm, const Feed& feed,
                                      bool packed) {
  Backend& backend = device.backend();
  const int slots = static_cast<int>(mlstm.lengths.size()) + 1;
  const std::unique_ptr<MlstmState> state = backend.make_mlstm_state({.layers = kLayers,
                                                                      .heads = mlstm.heads,
                                                                      .qk_dim = mlstm.qk_dim,
                                                                      .v_dim = mlstm.v_dim,
                                                                      .slots = slots});
  const std::int64_t width = mlstm.heads * mlstm.v_dim;
  Mlstm options{.heads = mlstm.heads,
                .qk_dim = mlstm.qk_dim,
                .v_dim = mlstm.v_dim,
                .gate_soft_cap = mlstm.gate_soft_cap,
                .q_norm = {},
                .k_norm = {},
                .head_norm = {.kind = mlstm.head_norm,
                              .eps = 1e-6F,
                              .weight = device.vector(norm_weights(width, 3)),
                              .bias = {}},
                .output_gate = mlstm.output_gate};
  if (mlstm.norm_bias) options.head_norm.bias = device.vector(norm_weights(width, 4));
  if (mlstm.qk_norm) {
    options.q_norm = device.vector(norm_weights(mlstm.qk_dim, 1));
    options.k_norm = device.vector(norm_weights(mlstm.qk_dim, 2));
  }
  std::vector<Matrix> inputs;
  for (const int sequence : feed.sequences) inputs.push_back(mlstm_inputs(mlstm, sequence));
  const Step step = [&](const std::vector<TokenSpan>& spans, const Matrix& rows) {
    const DeviceMatrix x = device.matrix(rows);
    if (packed) {
      const PackedRows out = device.packed(rows.extent(0), width);
      backend.mlstm(device.stream(), spans, options, kLayer, x, *state, out);
      return device.unpack(out);
    }
    const DeviceMatrix out = device.matrix(rows.extent(0), width);
    backend.mlstm_unpacked(device.stream(), spans, options, kLayer, x, *state, out);
    return device.download(out);
  };
  return feed_all(mlstm.lengths, feed, slots, inputs, width, step, *state);
}

::testing::AssertionResult same_bits(const std::vector<SequenceResult>& actual,
                                     const std::vector<SequenceResult>& expected) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << "another number of sequences";
  }
  for (std::size_t s = 0; s < actual.size(); ++s) {
    ::testing::AssertionResult outputs = same_bits(actual[s].outputs, expected[s].outputs);
    if (!outputs) return outputs << " (outputs of sequence " << s << ")";
    ::testing::AssertionResult state = same_bits(std::span<const float>(actual[s].state),
                                                 std::span<const float>(expected[s].state));
    if (!state) return state << " (state of sequence " << s << ")";
  }
  return ::testing::AssertionSuccess();
}

}  // namespace gridmill::testing
