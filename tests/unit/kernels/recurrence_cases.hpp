#pragma once

#include <string>
#include <vector>

#include "unit/kernels/sequence_cases.hpp"

// Recurrent layers: sequences through one operation, and the row operations between them.
namespace gridmill::testing {

struct RecurrenceCase {
  std::vector<int> lengths{};
  int heads = 1;
  int key_heads = 1;
  int key_width = 1;
  int value_width = 1;
  RecurrenceUpdate update = RecurrenceUpdate::add;
  DecayScope decay = DecayScope::head;
  float query_scale = 1.0F;
  bool skip = false;
};
[[nodiscard]] std::string text(const RecurrenceCase& recurrence);
[[nodiscard]] std::vector<RecurrenceCase> recurrence_cases();
/// q | k | v | decay | strength of sequence `index`, [length, columns].
[[nodiscard]] Matrix recurrence_inputs(const RecurrenceCase& recurrence, int index);
[[nodiscard]] std::vector<SequenceResult> run_recurrence(TestDevice& device,
                                                         const RecurrenceCase& recurrence,
                                                         const Feed& feed);

struct ConvolutionCase {
  std::vector<int> lengths{};
  int taps = 1;
  int channels = 1;
  bool bias = true;
  Activation activation = Activation::silu;
};
[[nodiscard]] std::string text(const ConvolutionCase& convolution);
[[nodiscard]] std::vector<ConvolutionCase> convolution_cases();
[[nodiscard]] Matrix convolution_inputs(const ConvolutionCase& convolution, int index);
[[nodiscard]] std::vector<float> convolution_weights(const ConvolutionCase& convolution);
[[nodiscard]] std::vector<SequenceResult> run_convolution(TestDevice& device,
                                                          const ConvolutionCase& convolution,
                                                          const Feed& feed);

struct SlstmCase {
  std::vector<int> lengths{};
  int heads = 1;
  int head_width = 1;
};
[[nodiscard]] std::string text(const SlstmCase& slstm);
[[nodiscard]] std::vector<SlstmCase> slstm_cases();
[[nodiscard]] std::vector<SequenceResult> run_slstm(TestDevice& device, const SlstmCase& slstm,
                                                    const Feed& feed);

struct GateCase {
  std::int64_t rows = 1;
  std::int64_t heads = 1;
  bool strength = false;
};
[[nodiscard]] std::string text(const GateCase& gates);
[[nodiscard]] std::vector<GateCase> gate_cases();
[[nodiscard]] Matrix run_decay_gates(TestDevice& device, const GateCase& gates);

struct GatedNormCase {
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  int groups = 0;
  NormKind kind = NormKind::rms;
  bool shared_weight = false;
  bool gate = true;
  bool gate_first = false;
};
[[nodiscard]] std::string text(const GatedNormCase& gated);
[[nodiscard]] std::vector<GatedNormCase> gated_norm_cases();
[[nodiscard]] Matrix run_gated_norm(TestDevice& device, const GatedNormCase& gated);
/// norm_groups in place, of a case with groups.
[[nodiscard]] Matrix run_norm_groups(TestDevice& device, const GatedNormCase& gated);

}  // namespace gridmill::testing
