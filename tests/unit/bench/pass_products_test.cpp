#include "gpu/pass_products.hpp"

#include <gtest/gtest.h>

#include <map>

#include "gridmill/bench/bench.hpp"
#include "gridmill/bench/roofline.hpp"

// The arithmetic of tests/gpu/device_products.cpp, which itself needs a device.
namespace gridmill::testing {
namespace {

std::map<std::string, PassProduct> products_of(const std::string& shape) {
  std::map<std::string, PassProduct> products;
  for (const PassProduct& product : pass_products(*make_model(model_of_shape(shape, {})))) {
    products[product.name] = product;
  }
  return products;
}

TEST(PassProducts, OfLlama8bAreFourInEachOf32LayersAndTheHead) {
  const auto products = products_of("llama-8b");
  ASSERT_EQ(products.size(), 5U);
  for (const char* name : {"qkv", "o", "gate_up", "down"}) {
    EXPECT_EQ(products.at(name).calls, 32) << name;
    EXPECT_FALSE(products.at(name).head) << name;
  }
  EXPECT_EQ(products.at("qkv").shape.outputs, (32 + 2 * 8) * 128);
  EXPECT_EQ(products.at("gate_up").shape.outputs, 2 * 14336);
  EXPECT_EQ(products.at("gate_up").fuse, Fuse::interleave);
  EXPECT_EQ(products.at("down").shape.inputs, 14336);
  EXPECT_TRUE(products.at("down").shape.row_parallel);
  EXPECT_EQ(products.at("head").calls, 1);
  EXPECT_EQ(products.at("head").shape.outputs, 128256);
  EXPECT_TRUE(products.at("head").head);
}

TEST(PassProducts, CountEveryWeightOfAPassOnce) {
  for (const char* shape : {"llama-8b", "xlstm-7b"}) {
    const auto model = make_model(model_of_shape(shape, {}));
    double elements = 0;
    for (const PassProduct& product : pass_products(*model)) {
      elements += static_cast<double>(product.calls * product.shape.outputs * product.shape.inputs);
    }
    EXPECT_EQ(2 * elements, pass_cost(*model, DType::bf16).weight_bytes) << shape;
  }
}

TEST(PassProducts, OfTheMeasuredShapesNeedNoPadding) {
  constexpr std::int64_t kPanelOutputs = 16;  // of the cuda backend
  for (const char* shape : {"llama-8b", "xlstm-7b"}) {
    for (const auto& [name, product] : products_of(shape)) {
      EXPECT_TRUE(needs_no_padding(product, kPanelOutputs)) << shape << " " << name;
    }
  }
  EXPECT_FALSE(needs_no_padding({.name = "o", .shape = {.outputs = 24, .inputs = 24}}, 16));
  EXPECT_FALSE(needs_no_padding({.name = "o", .shape = {.outputs = 32, .inputs = 12}}, 16));
}

TEST(PassProducts, SendOneRowOfALongPromptThroughTheHead) {
  const PassProduct head{.name = "head", .shape = {}, .head = true, .calls = 1};
  EXPECT_EQ(product_rows(head, 256), 256);
  EXPECT_EQ(product_rows(head, 2048), 1);
  const PassProduct inner{.name = "qkv", .shape = {}, .calls = 32};
  EXPECT_EQ(product_rows(inner, 2048), 2048);
}

TEST(PassProducts, AreMeasuredOnMoreWeightsThanTheCacheHolds) {
  EXPECT_EQ(copies_beyond_cache(32, 50), 7);
  EXPECT_EQ(copies_beyond_cache(100, 50), 2);
  EXPECT_EQ(copies_beyond_cache(1000, 50), 2);
}

TEST(InvarianceCost, WeighsProductsByTheirCalls) {
  PassSeconds pass;
  pass.add(32, {.ours = 3, .library = 2});
  pass.add(1, {.ours = 4, .library = 16});
  EXPECT_EQ(pass.ours, 100);
  EXPECT_EQ(pass.library, 80);
  EXPECT_EQ(pass.free_choice, 68);
  EXPECT_DOUBLE_EQ(pass.cost(), 100.0 / 68 - 1);
}

TEST(InvarianceCost, IsNothingWhereOursIsTheBestChoice) {
  PassSeconds pass;
  pass.add(32, {.ours = 2, .library = 3});
  EXPECT_EQ(pass.cost(), 0);
}

}  // namespace
}  // namespace gridmill::testing
