#pragma once

#include <string>
#include <vector>

#include "unit/kernels/test_device.hpp"

// Routers and experts as pure functions of a device and a case.
namespace gridmill::testing {

struct DotCase {
  std::int64_t rows = 1;
  std::int64_t inputs = 1;
  std::int64_t outputs = 1;
  bool bias = false;
};
[[nodiscard]] std::string text(const DotCase& dots);
[[nodiscard]] std::vector<DotCase> dot_cases();
[[nodiscard]] Matrix run_row_dots(TestDevice& device, const DotCase& dots);

struct ExpertCase {
  std::int64_t rows = 1;
  std::int64_t width = 8;         ///< of the model
  std::int64_t expert_width = 8;  ///< between gate | up and down
  std::int64_t experts = 4;
  std::size_t chosen = 2;
  RouterWeights weights = RouterWeights::softmax_all;
  bool bias = false;
  float limit = 0;           ///< of ExpertGate
  int shards = 1;            ///< fsdp runs of the weights
  bool lone_expert = false;  ///< every row chooses the first experts, the others get none
};
[[nodiscard]] std::string text(const ExpertCase& experts);
/// More rows than a register tile, one row, experts without a row, sizes that do not divide.
[[nodiscard]] std::vector<ExpertCase> expert_cases();

/// Data of a case, the same on every device.
struct ExpertData {
  Matrix x;                      ///< [rows, width]
  std::vector<float> router;     ///< [experts, width]
  std::vector<Matrix> gate_up;   ///< an expert: [2 expert_width, width]
  std::vector<Matrix> down;      ///< an expert: [width, expert_width]
  std::vector<float> gate_bias;  ///< [experts][2 expert_width]
  std::vector<float> down_bias;  ///< [experts][width]
};
[[nodiscard]] ExpertData expert_data(const ExpertCase& experts);

/// Norm, router, choice, gathering, experts and the tree over their blocks: [rows, width], from the
/// slices of `tp_size` ranks.
/// @param only_row  this row by itself; -1 = all.
[[nodiscard]] Matrix run_experts(TestDevice& device, const ExpertCase& experts, int tp_size,
                                 std::int64_t only_row = -1);

/// The same in double precision, from the case's data.
[[nodiscard]] Matrix expected_experts(const ExpertCase& experts);

}  // namespace gridmill::testing
