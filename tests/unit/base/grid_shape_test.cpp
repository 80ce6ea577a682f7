#include "gridmill/base/grid_shape.hpp"

#include <gtest/gtest.h>

#include <initializer_list>

namespace gridmill {
namespace {

TEST(GridShape, HoldsTheProductOfItsAxes) {
  EXPECT_EQ((GridShape{.dp = 2, .fsdp = 3, .tp = 4}.ranks()), 24);
  EXPECT_EQ(GridShape().ranks(), 1);
}

TEST(GridShape, TpIsTheFastestAxisThenFsdp) {
  constexpr GridShape kShape{.dp = 2, .fsdp = 3, .tp = 4};
  EXPECT_EQ(coord_of(kShape, 0), (GridCoord{.dp = 0, .fsdp = 0, .tp = 0}));
  EXPECT_EQ(coord_of(kShape, 1), (GridCoord{.dp = 0, .fsdp = 0, .tp = 1}));
  EXPECT_EQ(coord_of(kShape, 4), (GridCoord{.dp = 0, .fsdp = 1, .tp = 0}));
  EXPECT_EQ(coord_of(kShape, 12), (GridCoord{.dp = 1, .fsdp = 0, .tp = 0}));
  EXPECT_EQ(coord_of(kShape, 23), (GridCoord{.dp = 1, .fsdp = 2, .tp = 3}));
}

TEST(GridShape, RankAndCoordinateAreInverse) {
  for (const GridShape& shape : {GridShape{1, 1, 1}, GridShape{5, 1, 2}, GridShape{2, 3, 8},
                                 GridShape{1, 7, 1}, GridShape{4, 2, 1}}) {
    for (int rank = 0; rank < shape.ranks(); ++rank) {
      ASSERT_EQ(rank_of(shape, coord_of(shape, rank)), rank);
    }
  }
}

}  // namespace
}  // namespace gridmill
