#pragma once

namespace gridmill {

/// Sizes of the axes of the process grid. rank = (dp * fsdp_size + fsdp) * tp_size + tp, so a tp
/// group lies inside a node.
struct GridShape {
  int dp = 1;
  int fsdp = 1;
  int tp = 1;  ///< 1, 2, 4 or 8

  [[nodiscard]] constexpr int ranks() const { return dp * fsdp * tp; }
  friend bool operator==(const GridShape&, const GridShape&) = default;
};

/// Place of a rank in the grid.
struct GridCoord {
  int dp = 0;
  int fsdp = 0;
  int tp = 0;
  friend bool operator==(const GridCoord&, const GridCoord&) = default;
};

[[nodiscard]] constexpr GridCoord coord_of(const GridShape& shape, int rank) {
  return {rank / (shape.fsdp * shape.tp), rank / shape.tp % shape.fsdp, rank % shape.tp};
}
[[nodiscard]] constexpr int rank_of(const GridShape& shape, const GridCoord& coord) {
  return (coord.dp * shape.fsdp + coord.fsdp) * shape.tp + coord.tp;
}

}  // namespace gridmill
