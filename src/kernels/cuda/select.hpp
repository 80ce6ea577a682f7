#pragma once

#include <cstdint>

#include "gridmill/base/device.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/sampling/sampling_plan.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// Fields of a SelectRow for the first stage.
struct FirstStageRow {
  float temperature = 1;
  DrawKey key;
  TokenId target = -1;
  bool logprobs = true;
  std::int32_t kept = -1;
};

struct SelectArgs {
  ConstDeviceMatrix logits;             ///< of ids [first_id, first_id + columns)
  const FirstStageRow* rows = nullptr;  ///< on the device
  std::int64_t first_id = 0;
  std::int64_t group_ids = 0;         ///< a multiple of 64
  int groups = 0;                     ///< of this rank
  SelectPartial* blocks = nullptr;    ///< scratch: one for every row and block of 64 ids
  SelectPartial* partials = nullptr;  ///< [rows][groups]
  DeviceMatrix kept;
  bool operator==(const SelectArgs& other) const = default;
};

[[nodiscard]] constexpr std::int64_t select_blocks(std::int64_t columns) {
  return (columns + kVocabularyBlock - 1) / kVocabularyBlock;
}

/// Selection from logits: docs/numerics.md, section 7, to the bit.
void launch_select(LaunchStream stream, const SelectArgs& args);

}  // namespace gridmill::cuda
