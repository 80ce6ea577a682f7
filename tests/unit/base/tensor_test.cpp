#include "gridmill/base/tensor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "gridmill/base/tensor_view.hpp"

namespace gridmill {
namespace {

TEST(TensorView, IsRowMajor) {
  std::vector<int> values(24);
  std::iota(values.begin(), values.end(), 0);
  const TensorView<int, 3> view(values.data(), {2, 3, 4});
  EXPECT_EQ(view.size(), 24);
  EXPECT_EQ(view(0, 0, 1), 1);
  EXPECT_EQ(view(0, 1, 0), 4);
  EXPECT_EQ(view(1, 0, 0), 12);
  EXPECT_EQ(view(1, 2, 3), 23);
}

TEST(TensorView, WritesThrough) {
  std::vector<int> values(4);
  const TensorView<int, 2> view(values.data(), {2, 2});
  view(1, 0) = 7;
  view.row(0)[1] = 5;
  EXPECT_EQ(values, (std::vector<int>{0, 5, 7, 0}));
}

TEST(TensorView, ARowIsASpanOfItsElements) {
  std::vector<int> values = {1, 2, 3, 4, 5, 6};
  const TensorView<const int, 2> view = TensorView<int, 2>(values.data(), {2, 3});
  EXPECT_EQ(std::vector<int>(view.row(1).begin(), view.row(1).end()), (std::vector<int>{4, 5, 6}));
  EXPECT_EQ(view.flat().size(), 6U);
}

TEST(TensorView, AnExtentOfZeroHoldsNothing) {
  const TensorView<int, 2> view(nullptr, {0, 5});
  EXPECT_EQ(view.size(), 0);
  EXPECT_TRUE(view.flat().empty());
}

TEST(TensorView, RankZeroIsAScalar) {
  float value = 2.5F;
  const TensorView<float, 0> view(&value, {});
  EXPECT_EQ(view.size(), 1);
  EXPECT_EQ(view(), 2.5F);
}

TEST(Tensor, OwnsElementsFilledAtTheStart) {
  const Tensor<float, 2> tensor({3, 5}, 1.5F);
  EXPECT_EQ(tensor.extent(0), 3);
  EXPECT_EQ(tensor.extent(1), 5);
  EXPECT_EQ(tensor.flat().size(), 15U);
  EXPECT_TRUE(std::all_of(tensor.flat().begin(), tensor.flat().end(),
                          [](float value) { return value == 1.5F; }));
}

TEST(Tensor, CopiesItsElements) {
  Tensor<int, 1> first({2}, 1);
  Tensor<int, 1> second = first;
  second(0) = 9;
  EXPECT_EQ(first(0), 1);
  EXPECT_EQ(second(0), 9);
}

TEST(Tensor, SizesBeyond32BitsDoNotOverflow) {
  const TensorView<char, 2> view(nullptr, {std::int64_t{1} << 20, std::int64_t{1} << 20});
  EXPECT_EQ(view.size(), std::int64_t{1} << 40);
}

}  // namespace
}  // namespace gridmill
