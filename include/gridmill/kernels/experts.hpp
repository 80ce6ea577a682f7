#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/params/weight.hpp"

namespace gridmill {

/// Packed rows of an expert begin at a multiple of this, so that they are packed rows by
/// themselves.
inline constexpr std::int64_t kExpertRowUnit = 8;

/// The rows of one expert among packed rows that are sorted by expert. `first` is a multiple of
/// kExpertRowUnit; rows between the end of an expert and the next multiple are unspecified.
struct ExpertRows {
  const Weight* weight = nullptr;
  ConstDeviceVector bias;  ///< of the weight's outputs; may be empty
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// How gate and up of an expert combine.
struct ExpertGate {
  Activation activation = Activation::silu;
  /// 0: act(gate) * up. Otherwise the clamped form of gpt-oss, without `activation`: g = min(gate,
  /// limit), u = clamp(up, -limit, limit), (u + 1) * (g * sigmoid(1.702 g)).
  float limit = 0;
  bool operator==(const ExpertGate& other) const = default;
};

/// Where the sums of experts_down begin.
struct ExpertSums {
  int tp_size = 1;
  enum class Start : std::uint8_t { zero, held } start = Start::zero;
};

/// How the weights of the chosen experts follow from a router's logits.
enum class RouterWeights : std::uint8_t {
  softmax_all,     ///< the softmax over all experts
  softmax_shared,  ///< the same, divided by the sum over the chosen ones
  softmax_chosen,  ///< the softmax over the chosen ones
};

/// An expert of one token and what its output is multiplied with.
struct ExpertChoice {
  std::int32_t expert = 0;
  float weight = 0;
  friend bool operator==(const ExpertChoice&, const ExpertChoice&) = default;
};

/// The experts with the largest logits, as many as `chosen` has room for, in ascending order of
/// experts. Equal logits: the lower index; a NaN counts as larger than any number and makes the
/// weights NaN. Arithmetic: docs/numerics.md, section "Experts".
/// @param logits  [experts], at least as many as are chosen.
void choose_experts(std::span<const float> logits, RouterWeights weights,
                    std::span<ExpertChoice> chosen);

/// The tokens of a batch sorted by expert: which rows each expert computes.
struct ExpertPlan {
  struct Group {
    std::int32_t expert = 0;
    std::int64_t first = 0;  ///< packed row, a multiple of kExpertRowUnit
    std::int64_t count = 0;
  };
  std::vector<Group> groups;       ///< ascending by expert; those without rows are left out
  std::vector<std::int64_t> rows;  ///< of the batch, one a packed row; between groups 0
  std::vector<float> weights;      ///< one a packed row
};

/// @param choices  [rows][chosen], each row as choose_experts gives it.
[[nodiscard]] ExpertPlan plan_experts(std::span<const ExpertChoice> choices, std::size_t chosen);

}  // namespace gridmill
