#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/base/numerics.hpp"

// Operations of recurrent layers (docs/numerics.md, section 6b). The recurrence is one operation;
// gates, norms and the short convolution are row operations before and behind it.
namespace gridmill {

/// Longest kernel of a short convolution.
inline constexpr int kMostConvolutionTaps = 8;

/// Depthwise causal convolution: out = act(sum of taps + bias), by channel. Inputs before a row are
/// 0.
struct ShortConvolution {
  int taps = 0;               ///< 1 to kMostConvolutionTaps
  ConstDeviceVector weights;  ///< [taps][channels], the oldest input first
  ConstDeviceVector bias;     ///< [channels]; may be empty
  Activation activation = Activation::silu;
  bool operator==(const ShortConvolution& other) const = default;
};

/// Decay and strength of every head: t = softplus(x + bias), decay = exp(-exp(a_log) t).
struct DecayGates {
  ConstDeviceVector bias;   ///< [H]
  ConstDeviceVector a_log;  ///< [H]
  bool operator==(const DecayGates& other) const = default;
};

enum class RecurrenceUpdate : std::uint8_t {
  add,    ///< S = decay S + k (strength v)^T
  delta,  ///< S = decay S; S = S + k (strength (v - S^T k))^T
};
enum class DecayScope : std::uint8_t {
  head,  ///< one factor a head
  key,   ///< one a key component of a head
};

/// h = scale S^T q (+ skip v), S [dk, dv] a head.
struct LinearRecurrence {
  int heads = 0;      ///< of values
  int key_heads = 0;  ///< value head h uses key head h / (heads / key_heads)
  int key_width = 0;
  int value_width = 0;
  RecurrenceUpdate update = RecurrenceUpdate::add;
  DecayScope decay = DecayScope::head;
  float query_scale = 1.0F;
  ConstDeviceVector skip;  ///< [H]; may be empty
  bool operator==(const LinearRecurrence& other) const = default;
};
struct RecurrenceInputs {
  ConstDeviceMatrix q;         ///< [rows, key_heads dk]
  ConstDeviceMatrix k;         ///< [rows, key_heads dk]
  ConstDeviceMatrix v;         ///< [rows, H dv]
  ConstDeviceMatrix decay;     ///< [rows, H], or [rows, H dk]
  ConstDeviceMatrix strength;  ///< [rows, H]
};

/// The sLSTM cell of Beck et al., "xLSTM", 2024. Columns of its inputs: pre-activations i [H hd],
/// f, z, o. Gates see the previous output of their head through `recurrent`.
struct Slstm {
  int heads = 0;
  int head_width = 0;
  ConstDeviceVector recurrent;  ///< [H][hd inputs][i, f, z, o][hd outputs]
  ConstDeviceVector bias;       ///< [i, f, z, o][H hd]
  bool operator==(const Slstm& other) const = default;
};

}  // namespace gridmill
