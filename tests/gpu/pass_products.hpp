#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gridmill/model/model.hpp"

// Which matrix products a pass of a model has, and how their times add up: what device_products
// measures, free of any device.
namespace gridmill::testing {

struct PassProduct {
  std::string name;   ///< of the matrix in its layer, e.g. qkv
  MatrixShape shape;  ///< on one rank
  Fuse fuse = Fuse::concatenate;
  bool head = false;
  std::int64_t calls = 0;  ///< in a pass
};

/// Products of one pass on one rank, equal ones of different layers as one.
[[nodiscard]] inline std::vector<PassProduct> pass_products(const Model& model) {
  const ModelParameters parameters = model.parameters(1, 0);
  std::vector<PassProduct> products;
  for (std::size_t unit = 0; unit < parameters.units.size(); ++unit) {
    for (const MatrixSpec& matrix : parameters.units[unit].matrices) {
      if (matrix.layout != MatrixLayout::panels) continue;  // an embedding: looked up
      const PassProduct product{.name = matrix.name.substr(matrix.name.rfind('.') + 1),
                                .shape = matrix.shape,
                                .fuse = matrix.fuse,
                                .head = unit + 1 == parameters.units.size(),
                                .calls = 1};
      const auto same =
          std::find_if(products.begin(), products.end(), [&product](const PassProduct& other) {
            return other.name == product.name && other.shape == product.shape &&
                   other.fuse == product.fuse && other.head == product.head;
          });
      if (same == products.end()) {
        products.push_back(product);
      } else {
        ++same->calls;
      }
    }
  }
  return products;
}

/// Whether the panels of a backend, `panel_outputs` plain rows of a multiple of 8 inputs each, are
/// a row-major matrix without gaps.
[[nodiscard]] inline bool needs_no_padding(const PassProduct& product, std::int64_t panel_outputs) {
  const std::int64_t parts = product.fuse == Fuse::interleave ? 2 : 1;
  return product.shape.inputs % 8 == 0 && product.shape.outputs % (parts * panel_outputs) == 0;
}

/// Rows of a pass that go through the head: every one of a decode pass (up to 256 rows), the last
/// one of a prompt that fills a pass.
[[nodiscard]] inline std::int64_t product_rows(const PassProduct& product, std::int64_t rows) {
  constexpr std::int64_t kMostDecodeRows = 256;
  return product.head && rows > kMostDecodeRows ? 1 : rows;
}

/// Different copies of a weight of `weight_bytes` whose use in turn leaves none in a cache of
/// `cache_bytes`: four times the cache, and no fewer than two.
[[nodiscard]] inline std::int64_t copies_beyond_cache(std::int64_t weight_bytes,
                                                      std::int64_t cache_bytes) {
  return std::max<std::int64_t>(2, (4 * cache_bytes + weight_bytes - 1) / weight_bytes);
}

/// Seconds of one product: ours, and the vendor's library's best.
struct ProductSeconds {
  double ours = 0;
  double library = 0;
  /// A free choice of algorithms may choose ours, too.
  [[nodiscard]] double free_choice() const { return std::min(ours, library); }
};

/// All products of a pass, each as often as it is called.
struct PassSeconds {
  double ours = 0;
  double library = 0;
  double free_choice = 0;

  void add(std::int64_t calls, const ProductSeconds& seconds) {
    const auto times = static_cast<double>(calls);
    ours += times * seconds.ours;
    library += times * seconds.library;
    free_choice += times * seconds.free_choice();
  }
  /// What batch invariance costs: 0.15 = 15 % more time than with the free choice.
  [[nodiscard]] double cost() const { return ours / free_choice - 1; }
};

}  // namespace gridmill::testing
