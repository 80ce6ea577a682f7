#pragma once

#include <cstdint>

namespace gridmill {

using TokenId = std::int32_t;
using PromptId = std::uint32_t;  ///< index of a prompt in the prompt file
using RowId = std::uint64_t;     ///< prompt * samples_per_prompt + sample
using SlotId = std::int32_t;     ///< index of a sequence in flight, 0 <= slot < slots
using UnitId = std::int32_t;     ///< index of a group of parameters that is gathered together

/// Why a row ended; the numbers are those of the result file.
enum class FinishReason : std::uint16_t { none = 0, eod = 1, stop = 2, length = 3, error = 4 };

/// State of a row in the result file.
enum class RowStatus : std::uint16_t { empty = 0, done = 1, failed = 2, partial = 3 };

}  // namespace gridmill
