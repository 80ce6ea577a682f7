#include "gridmill/params/weight.hpp"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "gridmill/params/parameter_source.hpp"

namespace gridmill {
namespace {

TEST(Weight, FindsAPanelInTheRunThatHoldsIt) {
  const std::array<std::byte, 64> first{};
  const std::array<std::byte, 64> second{};
  const Weight weight{
      .shape = {}, .panel_bytes = 16, .runs = {{0, 2, first.data()}, {5, 1, second.data()}}};
  EXPECT_EQ(weight.panel(1), first.data() + 16);
  EXPECT_EQ(weight.panel(5), second.data());
  EXPECT_EQ(weight.panel(2), nullptr);
  EXPECT_EQ(weight.panel(6), nullptr);
}

TEST(UnitLease, ReleasesOnceWhereverItWasMoved) {
  const UnitWeights weights;
  int released = 0;
  {
    UnitLease lease(weights, [&] { ++released; });
    UnitLease moved = std::move(lease);
    EXPECT_EQ(&*moved, &weights);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

}  // namespace
}  // namespace gridmill
