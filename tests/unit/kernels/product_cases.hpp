#pragma once

#include <string>
#include <vector>

#include "unit/kernels/test_device.hpp"

// Products as pure functions of a device and a case: data is made from the case alone, so two
// devices can be compared.
namespace gridmill::testing {

struct ProductCase {
  std::int64_t rows = 1;
  std::int64_t inputs = 1;
  std::int64_t outputs = 1;  ///< gated: of gate and up each
  bool bias = false;
  float soft_cap = 0;
  Activation activation = Activation::identity;
  bool accumulate = false;
  DType stored = DType::fp32;
  int shards = 1;  ///< fsdp runs of the weight
};
[[nodiscard]] std::string text(const ProductCase& product);
/// Sizes that do not divide: odd inputs, outputs that are no multiple of 16, no rows, one row.
[[nodiscard]] std::vector<ProductCase> product_cases();

/// Data of a case: x [rows, inputs], w [outputs (gated: 2 outputs), inputs], bias, out before.
struct ProductData {
  Matrix x;
  Matrix w;
  std::vector<float> bias;
  Matrix before;
};
[[nodiscard]] ProductData product_data(const ProductCase& product, bool gated = false);

[[nodiscard]] Matrix run_linear(TestDevice& device, const ProductCase& product);
[[nodiscard]] Matrix run_activated(TestDevice& device, const ProductCase& product);
[[nodiscard]] Matrix run_gated(TestDevice& device, const ProductCase& product);
[[nodiscard]] Matrix run_row_parallel(TestDevice& device, const ProductCase& product);
/// The same from `tp_size` ranks' partial products.
[[nodiscard]] Matrix run_joined(TestDevice& device, const ProductCase& product, int tp_size);

}  // namespace gridmill::testing
