#include "gridmill/grid/grid.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "gridmill/base/format.hpp"
#include "gridmill/grid/collectives.hpp"

namespace gridmill {

GridShape resolve_grid(GridShape shape, int ranks) {
  if (shape.tp != 1 && shape.tp != 2 && shape.tp != 4 && shape.tp != 8) {
    throw UsageError(fmt::format("--tp is {}, but must be 1, 2, 4 or 8", shape.tp));
  }
  if (shape.fsdp < 1) throw UsageError(fmt::format("--fsdp is {}, but must be >= 1", shape.fsdp));
  if (shape.dp < 0) {
    throw UsageError(fmt::format("--dp is {}, but must be >= 0 (0: whatever remains)", shape.dp));
  }
  constexpr int kMost = 1 << 24;  // of one axis; keeps the products below far from overflow
  if (shape.fsdp > kMost || shape.dp > kMost) {
    throw UsageError(
        fmt::format("--dp {} x --fsdp {} is larger than any machine; this job has {} "
                    "rank{}",
                    shape.dp, shape.fsdp, ranks, ranks == 1 ? "" : "s"));
  }
  const std::int64_t group = std::int64_t{shape.fsdp} * shape.tp;
  if (shape.dp == 0) {
    if (ranks % group != 0) {
      throw UsageError(fmt::format(
          "--fsdp {} and --tp {} make groups of {} ranks, which do not divide the {} rank{} of "
          "this job; start a multiple of {} ranks or change --fsdp or --tp",
          shape.fsdp, shape.tp, group, ranks, ranks == 1 ? "" : "s", group));
    }
    shape.dp = static_cast<int>(ranks / group);
  }
  if (shape.dp * group != ranks) {
    throw UsageError(fmt::format(
        "--dp {} x --fsdp {} x --tp {} is {} ranks, but this job has {}; start {} ranks (mpirun "
        "-n {}), or leave --dp out to use whatever remains",
        shape.dp, shape.fsdp, shape.tp, shape.dp * group, ranks, shape.dp * group,
        shape.dp * group));
  }
  return shape;
}

Grid Grid::create(MPI_Comm parent, GridShape shape) {
  return build(parent, shape, Communicator::split_by_node(parent));
}

Grid Grid::create_with_nodes(MPI_Comm parent, GridShape shape, int node) {
  int rank = 0;
  check_mpi(MPI_Comm_rank(parent, &rank), "MPI_Comm_rank");
  return build(parent, shape, Communicator::split(parent, node, rank));
}

Grid Grid::build(MPI_Comm parent, GridShape shape, Communicator node) {
  Grid grid;
  grid.world_ = Communicator::duplicate(parent);
  const Communicator& world = grid.world_;
  grid.shape_ = resolve_grid(shape, world.size());
  grid.coord_ = coord_of(grid.shape_, world.rank());
  const auto& [dp, fsdp, tp] = grid.coord_;
  const int rank = world.rank();
  grid.tp_ = Communicator::split(world.get(), dp * grid.shape_.fsdp + fsdp, rank);
  grid.fsdp_ = Communicator::split(world.get(), dp * grid.shape_.tp + tp, rank);
  grid.tp_peers_ = Communicator::split(world.get(), tp, rank);
  grid.node_ = std::move(node);
  grid.node_tp_peers_ = Communicator::split(grid.node_.get(), tp, rank);

  // A node's name is its lowest rank; then they are numbered in that order.
  int lowest = rank;
  broadcast(grid.node_, 0, lowest);
  grid.node_of_ = all_gather(world, lowest);
  std::map<int, int> number;
  for (const int name : grid.node_of_) number.emplace(name, 0);
  grid.nodes_ = 0;
  for (auto& [name, index] : number) index = grid.nodes_++;
  for (int& name : grid.node_of_) name = number.at(name);
  return grid;
}

}  // namespace gridmill
