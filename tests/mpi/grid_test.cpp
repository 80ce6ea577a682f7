#include "gridmill/grid/grid.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/grid/collectives.hpp"
#include "mpi/grid_shapes.hpp"

namespace gridmill {
namespace {

std::vector<int> world_ranks(const Communicator& comm, const Grid& grid) {
  return all_gather(comm, grid.world().rank());
}

TEST(Grid, TpIsTheFastestAxisThenFsdpThenDp) {
  for (const GridShape& shape : test::shapes_of_this_job()) {
    const Grid grid = Grid::create(MPI_COMM_WORLD, shape);
    EXPECT_EQ(grid.shape(), shape);
    const auto [dp, fsdp, tp] = grid.coord();
    EXPECT_EQ((dp * shape.fsdp + fsdp) * shape.tp + tp, grid.world().rank());
  }
}

TEST(Grid, EachCommunicatorHoldsTheRanksThatItsNameSays) {
  for (const GridShape& shape : test::shapes_of_this_job()) {
    const Grid grid = Grid::create(MPI_COMM_WORLD, shape);
    const GridCoord own = grid.coord();
    std::vector<int> tp, fsdp, tp_peers;
    for (int rank = 0; rank < shape.ranks(); ++rank) {
      const GridCoord other = coord_of(shape, rank);
      if (other.dp == own.dp && other.fsdp == own.fsdp) tp.push_back(rank);
      if (other.dp == own.dp && other.tp == own.tp) fsdp.push_back(rank);
      if (other.tp == own.tp) tp_peers.push_back(rank);
    }
    EXPECT_EQ(world_ranks(grid.tp(), grid), tp);
    EXPECT_EQ(world_ranks(grid.fsdp(), grid), fsdp);
    EXPECT_EQ(world_ranks(grid.tp_peers(), grid), tp_peers);
    EXPECT_EQ(grid.tp().rank(), own.tp);
    EXPECT_EQ(grid.fsdp().rank(), own.fsdp);
  }
}

TEST(Grid, RanksOfThisMachineShareOneNode) {
  const Grid grid = Grid::create(MPI_COMM_WORLD, {.dp = 0});
  EXPECT_EQ(grid.nodes(), 1);
  EXPECT_EQ(grid.node().size(), grid.world().size());
}

TEST(Grid, NodesAreNumberedByTheirLowestRank) {
  const int ranks = test::ranks_of_this_job();
  const Grid whole = Grid::create(MPI_COMM_WORLD, {.dp = 0});
  const int rank = whole.world().rank();
  // The first half is "node 7", the second "node 3".
  const int half = (ranks + 1) / 2;
  const Grid grid = Grid::create_with_nodes(MPI_COMM_WORLD, {.dp = 0}, rank < half ? 7 : 3);
  EXPECT_EQ(grid.nodes(), ranks == 1 ? 1 : 2);
  for (int other = 0; other < ranks; ++other) {
    EXPECT_EQ(grid.node_of(other), other < half ? 0 : 1);
  }
  EXPECT_EQ(grid.node().size(), rank < half ? half : ranks - half);
}

TEST(Grid, DpZeroTakesWhateverRemains) {
  const int ranks = test::ranks_of_this_job();
  EXPECT_EQ(Grid::create(MPI_COMM_WORLD, {.dp = 0}).shape().dp, ranks);
  const int tp = ranks >= 2 ? 2 : 1;
  EXPECT_EQ(Grid::create(MPI_COMM_WORLD, {.dp = 0, .tp = tp}).shape().dp, ranks / tp);
}

TEST(Grid, AShapeThatDoesNotFitIsRefusedOnEveryRank) {
  const int ranks = test::ranks_of_this_job();
  EXPECT_THROW(static_cast<void>(Grid::create(MPI_COMM_WORLD, {.dp = ranks + 1})), UsageError);
  EXPECT_THROW(static_cast<void>(Grid::create(MPI_COMM_WORLD, {.dp = ranks, .tp = 3})), UsageError);
}

}  // namespace
}  // namespace gridmill
