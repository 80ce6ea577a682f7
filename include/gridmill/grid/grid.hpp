#pragma once

#include <mpi.h>

#include <cstddef>
#include <vector>

#include "gridmill/base/grid_shape.hpp"
#include "gridmill/grid/mpi_handles.hpp"

namespace gridmill {

/// Fills in dp = 0 (whatever remains) and checks a grid against the number of ranks.
/// @throws UsageError that says which numbers would fit.
[[nodiscard]] GridShape resolve_grid(GridShape shape, int ranks);

/// The process grid: rank = (dp * fsdp_size + fsdp) * tp_size + tp. Owns a communicator per axis;
/// ranks in each are ordered by the axis that the name says.
class Grid {
 public:
  /// Collective over `parent`.
  /// @param shape  dp 0 = whatever remains.
  /// @throws UsageError on every rank if the shape does not fit.
  [[nodiscard]] static Grid create(MPI_Comm parent, GridShape shape);
  /// The same with nodes as the caller says (equal `node` = same node; such ranks must be able to
  /// share memory): for tests of multi-node paths on one machine.
  [[nodiscard]] static Grid create_with_nodes(MPI_Comm parent, GridShape shape, int node);

  [[nodiscard]] const GridShape& shape() const { return shape_; }
  [[nodiscard]] const GridCoord& coord() const { return coord_; }

  /// Every rank; a duplicate of the parent.
  [[nodiscard]] const Communicator& world() const { return world_; }
  /// Ranks that share dp and fsdp: parts of every matrix, one set of prompts.
  [[nodiscard]] const Communicator& tp() const { return tp_; }
  /// Ranks that share dp and tp: shards of the same parameters.
  [[nodiscard]] const Communicator& fsdp() const { return fsdp_; }
  /// Ranks that share tp: all that need the same weights, ordered (dp, fsdp).
  [[nodiscard]] const Communicator& tp_peers() const { return tp_peers_; }
  /// Ranks of this node, in world order.
  [[nodiscard]] const Communicator& node() const { return node_; }
  /// Ranks of this node that share tp: they can share one copy of their weights.
  [[nodiscard]] const Communicator& node_tp_peers() const { return node_tp_peers_; }

  /// Number of nodes.
  [[nodiscard]] int nodes() const { return nodes_; }
  /// Node of world rank `rank`, 0 <= node < nodes(), numbered by lowest rank.
  [[nodiscard]] int node_of(int rank) const { return node_of_[static_cast<std::size_t>(rank)]; }

 private:
  Grid() = default;
  static Grid build(MPI_Comm parent, GridShape shape, Communicator node);

  GridShape shape_;
  GridCoord coord_;
  Communicator world_;
  Communicator tp_;
  Communicator fsdp_;
  Communicator tp_peers_;
  Communicator node_;
  Communicator node_tp_peers_;
  int nodes_ = 1;
  std::vector<int> node_of_;
};

}  // namespace gridmill
