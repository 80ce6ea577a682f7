#include "unit/kernels/recurrence_cases.hpp"

#include <cmath>

#include "gridmill/base/format.hpp"

namespace gridmill::testing {

namespace {

constexpr int kLayers = 2;
constexpr int kLayer = 1;

/// Columns [first, first + count) of host rows, on the device.
ConstDeviceMatrix columns_on(TestDevice& device, const Matrix& rows, std::int64_t first,
                             std::int64_t count) {
  Matrix part({rows.extent(0), count});
  for (std::int64_t row = 0; row < rows.extent(0); ++row) {
    for (std::int64_t i = 0; i < count; ++i) part(row, i) = rows(row, first + i);
  }
  return device.matrix(part);
}

int slots_of(const std::vector<int>& lengths) { return static_cast<int>(lengths.size()) + 1; }

}  // namespace

std::string text(const RecurrenceCase& recurrence) {
  return fmt::format(
      "{} sequences, first {} tokens, heads {} / {} of {} x {}, delta {}, decay of keys {}, scale "
      "{}, skip {}",
      recurrence.lengths.size(), recurrence.lengths[0], recurrence.heads, recurrence.key_heads,
      recurrence.key_width, recurrence.value_width, recurrence.update == RecurrenceUpdate::delta,
      recurrence.decay == DecayScope::key, recurrence.query_scale, recurrence.skip);
}

std::vector<RecurrenceCase> recurrence_cases() {
  std::vector<RecurrenceCase> cases;
  for (const RecurrenceUpdate update : {RecurrenceUpdate::add, RecurrenceUpdate::delta}) {
    const std::vector<RecurrenceCase> some = {
        {.lengths = {1}},
        {.lengths = {5, 37, 1}, .heads = 4, .key_heads = 2, .key_width = 5, .value_width = 7},
        // Strips of whole vectors, and what is left of them; tokens around tiles and chunks.
        {.lengths = {17, 3}, .heads = 2, .key_heads = 1, .key_width = 16, .value_width = 32},
        {.lengths = {20, 16}, .heads = 2, .key_heads = 2, .key_width = 17, .value_width = 50},
        {.lengths = {33},
         .heads = 1,
         .key_heads = 1,
         .key_width = 128,
         .value_width = 64,
         .query_scale = 0.0883883461F},
        {.lengths = {9, 4},
         .heads = 6,
         .key_heads = 1,
         .key_width = 8,
         .value_width = 16,
         .skip = true},
        {.lengths = {18, 2},
         .heads = 2,
         .key_heads = 2,
         .key_width = 6,
         .value_width = 33,
         .decay = DecayScope::key,
         .skip = true}};
    for (RecurrenceCase one : some) {
      one.update = update;
      cases.push_back(one);
    }
  }
  return cases;
}

Matrix recurrence_inputs(const RecurrenceCase& recurrence, int index) {
  const int keys = recurrence.key_heads * recurrence.key_width;
  const int decays =
      recurrence.heads * (recurrence.decay == DecayScope::key ? recurrence.key_width : 1);
  const int first_decay = 2 * keys + recurrence.heads * recurrence.value_width;
  Matrix inputs = Numbers(300 + static_cast<std::uint32_t>(index))
                      .matrix(recurrence.lengths[static_cast<std::size_t>(index)],
                              first_decay + decays + recurrence.heads);
  for (std::int64_t row = 0; row < inputs.extent(0); ++row) {
    // The keys of a delta net are short; decays and strengths lie between 0 and 1.
    for (int i = 0; i < keys; ++i) {
      inputs(row, keys + i) /= std::sqrt(static_cast<float>(recurrence.key_width));
    }
    for (std::int64_t i = first_decay; i < inputs.extent(1); ++i) {
      inputs(row, i) = 1.0F / (1.0F + std::exp(-inputs(row, i)));
    }
  }
  return inputs;
}

std::vector<SequenceResult> run_recurrence(TestDevice& device, const RecurrenceCase& recurrence,
                                           const Feed& feed) {
  Backend& backend = device.backend();
  const int slots = slots_of(recurrence.lengths);
  const auto state = backend.make_recurrent_state({.layers = kLayers,
                                                   .slots = slots,
                                                   .heads = recurrence.heads,
                                                   .key_width = recurrence.key_width,
                                                   .value_width = recurrence.value_width,
                                                   .tail_rows = 2,
                                                   .tail_channels = 3});
  LinearRecurrence options{.heads = recurrence.heads,
                           .key_heads = recurrence.key_heads,
                           .key_width = recurrence.key_width,
                           .value_width = recurrence.value_width,
                           .update = recurrence.update,
                           .decay = recurrence.decay,
                           .query_scale = recurrence.query_scale,
                           .skip = {}};
  if (recurrence.skip) options.skip = device.vector(norm_weights(recurrence.heads, 6));
  std::vector<Matrix> inputs;
  for (const int sequence : feed.sequences) {
    inputs.push_back(recurrence_inputs(recurrence, sequence));
  }
  const std::int64_t keys = std::int64_t{recurrence.key_heads} * recurrence.key_width;
  const std::int64_t values = std::int64_t{recurrence.heads} * recurrence.value_width;
  const std::int64_t decays = std::int64_t{recurrence.heads} *
                              (recurrence.decay == DecayScope::key ? recurrence.key_width : 1);
  const Step step = [&](const std::vector<TokenSpan>& spans, const Matrix& rows) {
    const RecurrenceInputs on_device{
        .q = columns_on(device, rows, 0, keys),
        .k = columns_on(device, rows, keys, keys),
        .v = columns_on(device, rows, 2 * keys, values),
        .decay = columns_on(device, rows, 2 * keys + values, decays),
        .strength = columns_on(device, rows, 2 * keys + values + decays, recurrence.heads)};
    const DeviceMatrix out = device.matrix(rows.extent(0), values);
    backend.linear_recurrence(device.stream(), spans, options, kLayer, on_device, *state, out);
    return device.download(out);
  };
  return feed_all(recurrence.lengths, feed, slots, inputs, values, step, *state);
}

std::string text(const ConvolutionCase& convolution) {
  return fmt::format("{} sequences, first {} tokens, {} taps of {} channels, bias {}",
                     convolution.lengths.size(), convolution.lengths[0], convolution.taps,
                     convolution.channels, convolution.bias);
}

std::vector<ConvolutionCase> convolution_cases() {
  return {{.lengths = {1}},
          {.lengths = {9, 1, 4}, .taps = 4, .channels = 37},
          {.lengths = {5, 30}, .taps = 8, .channels = 300, .bias = false},
          {.lengths = {3}, .taps = 1, .channels = 16, .activation = Activation::identity},
          {.lengths = {7, 2}, .taps = 2, .channels = 256}};
}

Matrix convolution_inputs(const ConvolutionCase& convolution, int index) {
  return Numbers(400 + static_cast<std::uint32_t>(index))
      .matrix(convolution.lengths[static_cast<std::size_t>(index)], convolution.channels);
}

std::vector<float> convolution_weights(const ConvolutionCase& convolution) {
  return Numbers(41).vector(std::int64_t{convolution.taps} * convolution.channels);
}

std::vector<SequenceResult> run_convolution(TestDevice& device, const ConvolutionCase& convolution,
                                            const Feed& feed) {
  Backend& backend = device.backend();
  const int slots = slots_of(convolution.lengths);
  const auto state = backend.make_recurrent_state({.layers = kLayers,
                                                   .slots = slots,
                                                   .heads = 1,
                                                   .key_width = 2,
                                                   .value_width = 3,
                                                   .tail_rows = convolution.taps - 1,
                                                   .tail_channels = convolution.channels});
  ShortConvolution options{.taps = convolution.taps,
                           .weights = device.vector(convolution_weights(convolution)),
                           .bias = {},
                           .activation = convolution.activation};
  if (convolution.bias) options.bias = device.vector(norm_weights(convolution.channels, 8));
  std::vector<Matrix> inputs;
  for (const int sequence : feed.sequences) {
    inputs.push_back(convolution_inputs(convolution, sequence));
  }
  const Step step = [&](const std::vector<TokenSpan>& spans, const Matrix& rows) {
    const DeviceMatrix out = device.matrix(rows.extent(0), convolution.channels);
    backend.short_convolution(device.stream(), spans, options, kLayer, device.matrix(rows), *state,
                              out);
    return device.download(out);
  };
  return feed_all(convolution.lengths, feed, slots, inputs, convolution.channels, step, *state);
}

std::string text(const SlstmCase& slstm) {
  return fmt::format("{} sequences, first {} tokens, heads {} of {}", slstm.lengths.size(),
                     slstm.lengths[0], slstm.heads, slstm.head_width);
}

std::vector<SlstmCase> slstm_cases() {
  return {{.lengths = {1}},
          {.lengths = {9, 1, 4, 6, 2}, .heads = 3, .head_width = 5},
          {.lengths = {12, 3}, .heads = 2, .head_width = 16},
          {.lengths = {7, 7, 7}, .heads = 1, .head_width = 37}};
}

std::vector<SequenceResult> run_slstm(TestDevice& device, const SlstmCase& slstm,
                                      const Feed& feed) {
  Backend& backend = device.backend();
  const int slots = slots_of(slstm.lengths);
  const int width = slstm.heads * slstm.head_width;
  const auto state = backend.make_recurrent_state(
      {.layers = kLayers, .slots = slots, .tail_rows = 1, .tail_channels = 2, .cell_width = width});
  const Slstm cell{
      .heads = slstm.heads,
      .head_width = slstm.head_width,
      .recurrent = device.vector(Numbers(51).vector(std::int64_t{4} * width * slstm.head_width)),
      .bias = device.vector(Numbers(52).vector(4 * width))};
  std::vector<Matrix> inputs;
  for (const int sequence : feed.sequences) {
    inputs.push_back(Numbers(500 + static_cast<std::uint32_t>(sequence))
                         .matrix(slstm.lengths[static_cast<std::size_t>(sequence)], 4 * width));
  }
  const Step step = [&](const std::vector<TokenSpan>& spans, const Matrix& rows) {
    const DeviceMatrix out = device.matrix(rows.extent(0), width);
    backend.slstm(device.stream(), spans, cell, kLayer, device.matrix(rows), *state, out);
    return device.download(out);
  };
  return feed_all(slstm.lengths, feed, slots, inputs, width, step, *state);
}

std::string text(const GateCase& gates) {
  return fmt::format("{} rows of {} heads, strength {}", gates.rows, gates.heads, gates.strength);
}

std::vector<GateCase> gate_cases() {
  return {{.rows = 1, .heads = 1},
          {.rows = 5, .heads = 24},
          {.rows = 3, .heads = 32, .strength = true},
          {.rows = 0, .heads = 3, .strength = true}};
}

Matrix run_decay_gates(TestDevice& device, const GateCase& gates) {
  // Steps of every size: softplus is near 0 here, near x there.
  const DeviceMatrix x = device.matrix(Numbers(61).matrix(gates.rows, gates.heads, 20.0F));
  ConstDeviceMatrix strength;
  if (gates.strength) strength = device.matrix(Numbers(62).matrix(gates.rows, gates.heads, 4.0F));
  const DeviceMatrix out = device.matrix(gates.rows, 2 * gates.heads);
  device.backend().decay_gates(device.stream(), x, strength,
                               {.bias = device.vector(Numbers(63).vector(gates.heads)),
                                .a_log = device.vector(Numbers(64).vector(gates.heads, 2.0F))},
                               out);
  return device.download(out);
}

std::string text(const GatedNormCase& gated) {
  return fmt::format("{} x {} in {} groups, kind {}, shared {}, gate {}, first {}", gated.rows,
                     gated.columns, gated.groups, static_cast<int>(gated.kind), gated.shared_weight,
                     gated.gate, gated.gate_first);
}

std::vector<GatedNormCase> gated_norm_cases() {
  return {{.rows = 3, .columns = 20},
          {.rows = 1, .columns = 1, .groups = 1},
          {.rows = 4, .columns = 96, .groups = 3, .gate_first = true},
          {.rows = 2, .columns = 130, .groups = 10, .shared_weight = true},
          {.rows = 9, .columns = 64, .groups = 4, .shared_weight = true, .gate_first = true},
          {.rows = 5, .columns = 48, .groups = 4, .kind = NormKind::layer, .gate = false},
          {.rows = 0, .columns = 16, .groups = 2}};
}

namespace {

Norm group_norm(TestDevice& device, const GatedNormCase& gated) {
  const std::int64_t weights = gated.shared_weight ? gated.columns / gated.groups : gated.columns;
  return {.kind = gated.kind,
          .eps = 1e-5F,
          .weight = device.vector(norm_weights(weights, 9)),
          .bias = {},
          .scale = 0.7F};
}

}  // namespace

Matrix run_gated_norm(TestDevice& device, const GatedNormCase& gated) {
  const DeviceMatrix y = device.matrix(Numbers(71).matrix(gated.rows, gated.columns));
  ConstDeviceMatrix z;
  if (gated.gate) z = device.matrix(Numbers(72).matrix(gated.rows, gated.columns, 4.0F));
  GatedNorm options{.norm = {}, .groups = gated.groups, .gate_first = gated.gate_first};
  if (gated.groups > 0) options.norm = group_norm(device, gated);
  const PackedRows out = device.packed(gated.rows, gated.columns);
  device.backend().gated_norm_pack(device.stream(), y, z, options, out);
  return device.unpack(out);
}

Matrix run_norm_groups(TestDevice& device, const GatedNormCase& gated) {
  const DeviceMatrix x = device.matrix(Numbers(73).matrix(gated.rows, gated.columns));
  device.backend().norm_groups(device.stream(), x, group_norm(device, gated), gated.groups, x);
  return device.download(x);
}

}  // namespace gridmill::testing
