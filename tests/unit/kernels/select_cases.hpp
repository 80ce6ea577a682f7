#pragma once

#include <string>
#include <vector>

#include "unit/kernels/test_device.hpp"

namespace gridmill::testing {

struct SelectCase {
  std::int64_t rows = 1;
  std::int64_t inputs = 8;
  std::int64_t vocab_size = 64;
  bool bias = false;
  float soft_cap = 0;
  int shards = 1;
};
[[nodiscard]] std::string text(const SelectCase& select);
/// Vocabularies that leave groups empty, blocks and panels partial.
[[nodiscard]] std::vector<SelectCase> select_cases();

struct SelectData {
  Matrix x;
  Matrix head;
  std::vector<float> bias;      ///< [vocab_size], or empty
  std::vector<SelectRow> rows;  ///< greedy and several temperatures, targets, log-probabilities
};
[[nodiscard]] SelectData select_data(const SelectCase& select);

/// [rows][8] entries, from the slices of `tp_size` ranks.
[[nodiscard]] std::vector<SelectPartial> run_select(TestDevice& device, const SelectCase& select,
                                                    const SelectData& data, int tp_size = 1);
/// The logits [rows, vocab] of the same product, explicitly.
[[nodiscard]] Matrix run_logits(TestDevice& device, const SelectCase& select,
                                const SelectData& data);
/// Selection from explicit logits, as docs/numerics.md section 7 says, independent of any backend.
[[nodiscard]] std::vector<SelectPartial> select_from_logits(const Matrix& logits,
                                                            const std::vector<SelectRow>& rows);

/// Equal bits of everything that means something.
[[nodiscard]] ::testing::AssertionResult same_partials(const std::vector<SelectPartial>& actual,
                                                       const std::vector<SelectPartial>& expected);

}  // namespace gridmill::testing
