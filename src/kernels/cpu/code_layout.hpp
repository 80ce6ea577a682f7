// Where codes lie (docs/numerics.md, section 2a). Chains of a product follow one another, and in
// each its groups of inputs; a group takes whole steps of 4 inputs (int8) or 8 (int4), padded with
// zeros.
//   panel: a group is [step][48] words - 4 codes of int8 + 128, or 8 of int4 + 8: input j of the
//          step in bits 8 j (j < 4), the others in bits 8 (j - 4) + 4 -, then [48] scales in fp16.
//   rows:  in a block of R rows a group is [R] scales in fp32, [R] int32 offsets (the sum of the
//          row's codes times -128 or -8, which takes back what was added to the weights' codes),
//          then [step][1 or 2][R] words of 4 codes.
// Functions have internal linkage: kernels for several targets include this file (target.hpp).
#pragma once

#include <cstdint>

#include "gridmill/params/weight_format.hpp"

namespace gridmill::cpu {

/// Inputs of a step.
static constexpr std::int64_t step_inputs(WeightCodes codes) {
  return codes == WeightCodes::int4 ? 8 : 4;
}

/// Groups of one chain; the last one may have fewer steps.
struct CodedExtent {
  std::int64_t groups;
  std::int64_t steps;
  std::int64_t last_steps;
  /// Steps of the whole chain.
  std::int64_t all_steps;
};

static constexpr CodedExtent coded_extent(std::int64_t inputs, int group, std::int64_t step) {
  if (inputs <= 0) return {0, group / step, 0, 0};
  const std::int64_t groups = (inputs + group - 1) / group;
  const std::int64_t last = (inputs - (groups - 1) * group + step - 1) / step;
  return {groups, group / step, last, (groups - 1) * (group / step) + last};
}

/// Sizes of one group with `steps` steps: bytes in a panel of 48 outputs, and of one row.
static constexpr std::int64_t coded_panel_group(std::int64_t steps) {
  return steps * 48 * 4 + 48 * kScaleBytes;
}
static constexpr std::int64_t coded_row_group(std::int64_t steps, std::int64_t step) {
  return 8 + steps * step;
}

/// Bytes of `inputs` inputs in chains of `block`.
static constexpr std::int64_t coded_panel_bytes(std::int64_t inputs, std::int64_t block, int group,
                                                std::int64_t step) {
  if (inputs <= 0) return 0;
  const CodedExtent full = coded_extent(block, group, step);
  const CodedExtent rest = coded_extent(inputs % block, group, step);
  return coded_panel_group(0) * (inputs / block * full.groups + rest.groups) +
         48 * 4 * (inputs / block * full.all_steps + rest.all_steps);
}
static constexpr std::int64_t coded_row_bytes(std::int64_t inputs, std::int64_t block, int group,
                                              std::int64_t step) {
  if (inputs <= 0) return 0;
  const CodedExtent full = coded_extent(block, group, step);
  const CodedExtent rest = coded_extent(inputs % block, group, step);
  return coded_row_group(0, step) * (inputs / block * full.groups + rest.groups) +
         step * (inputs / block * full.all_steps + rest.all_steps);
}

}  // namespace gridmill::cpu
