#pragma once

#include <string>
#include <vector>

#include "unit/kernels/test_device.hpp"

namespace gridmill::testing {

struct NormCase {
  std::int64_t rows = 1;
  std::int64_t columns = 1;
  NormKind kind = NormKind::rms;
  bool weight = true;
  bool bias = false;
  std::vector<std::int64_t> picked{};  ///< rows that are taken; empty = all
};
[[nodiscard]] std::string text(const NormCase& norm);
[[nodiscard]] std::vector<NormCase> norm_cases();
/// Norm::scale of a case: 1 with an even number of columns.
[[nodiscard]] float norm_factor(const NormCase& norm);

struct NormData {
  Matrix x;
  Matrix y;
  std::vector<float> weight;
  std::vector<float> bias;
};
[[nodiscard]] NormData norm_data(const NormCase& norm);
[[nodiscard]] Matrix run_norm_pack(TestDevice& device, const NormCase& norm);
/// x + norm(y).
[[nodiscard]] Matrix run_norm_add(TestDevice& device, const NormCase& norm);
/// Of the rows of the case in place.
[[nodiscard]] Matrix run_norm_rows(TestDevice& device, const NormCase& norm);
/// x = 1.7 x, and 0.22 y added unless the case has a bias.
[[nodiscard]] Matrix run_scale_add(TestDevice& device, const NormCase& norm);

struct EmbedCase {
  std::int64_t vocab_size = 1;
  std::int64_t width = 1;
  MatrixLayout layout = MatrixLayout::rows;
  DType stored = DType::fp32;
  std::int64_t first_id = 0;  ///< of the table
  int shards = 1;
  int only_shard = -1;
};
[[nodiscard]] std::string text(const EmbedCase& embed);
[[nodiscard]] std::vector<EmbedCase> embed_cases();
/// Rows of every id from -2 to vocab_size + 2 behind the first; NaN where the table lacks them.
[[nodiscard]] Matrix run_embed(TestDevice& device, const EmbedCase& embed);
[[nodiscard]] Matrix embed_table(const EmbedCase& embed);

struct OlderCase {
  std::int64_t rows = 1;
  std::int64_t groups = 1;
  std::int64_t group_inputs = 1;
  std::int64_t group_outputs = 1;
  bool bias = true;
  Activation activation = Activation::silu;
};
[[nodiscard]] std::string text(const OlderCase& older);
[[nodiscard]] std::vector<OlderCase> older_cases();
[[nodiscard]] Matrix run_channel_affine(TestDevice& device, const OlderCase& older);
[[nodiscard]] Matrix run_block_diagonal(TestDevice& device, const OlderCase& older);
[[nodiscard]] Matrix run_skip_gate(TestDevice& device, const OlderCase& older);
/// Sources of 1, 5 and 18 columns, concatenated and rounded.
[[nodiscard]] Matrix run_pack_rows(TestDevice& device, std::int64_t rows);

}  // namespace gridmill::testing
