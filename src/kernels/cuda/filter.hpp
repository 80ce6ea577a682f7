#pragma once

#include <cstdint>

#include "gridmill/kernels/kept_logits.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// The rules of one row: a slice of an array of all of them.
struct RuleSlice {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

struct AdjustRow {
  RuleSlice rules;
  float repetition = 1;
  float frequency = 0;
  float presence = 0;
  bool only_allowed = false;
  bool forbid_ends = false;
};

struct DrawRow {
  RuleSlice rules;
  FilterRow filter;
  float temperature = 1;
  DrawKey key;
};

/// Every array but the kept logits is staged; each has an entry a row.
struct AdjustArgs {
  KeptLogits kept;
  const AdjustRow* rows = nullptr;
  const TokenRule* rules = nullptr;
  LogitPeak* peaks = nullptr;
  bool operator==(const AdjustArgs& other) const = default;
};
struct CountArgs {
  KeptLogits kept;
  const CountPass* passes = nullptr;
  FilterBins* bins = nullptr;
  bool operator==(const CountArgs& other) const = default;
};
struct DrawArgs {
  KeptLogits kept;
  const DrawRow* rows = nullptr;
  const TokenRule* rules = nullptr;
  Drawn* drawn = nullptr;
  bool operator==(const DrawArgs& other) const = default;
};
struct ListArgs {
  KeptLogits kept;
  const FilterRow* rows = nullptr;
  std::int64_t most = 0;
  RankedToken* listed = nullptr;
  bool operator==(const ListArgs& other) const = default;
};

// The second stage of a selection: docs/numerics.md, section 7, to the bit.
void launch_adjust(LaunchStream stream, std::int64_t rows, const AdjustArgs& args);
void launch_count(LaunchStream stream, std::int64_t passes, const CountArgs& args);
void launch_draw(LaunchStream stream, std::int64_t rows, const DrawArgs& args);
void launch_list(LaunchStream stream, std::int64_t rows, const ListArgs& args);

}  // namespace gridmill::cuda
