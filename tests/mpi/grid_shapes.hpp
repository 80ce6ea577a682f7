#pragma once

#include <mpi.h>

#include <vector>

#include "gridmill/base/grid_shape.hpp"

namespace gridmill::test {

inline int ranks_of_this_job() {
  int ranks = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  return ranks;
}

/// Every grid of exactly the ranks that run this test.
inline std::vector<GridShape> shapes_of_this_job() {
  const int ranks = ranks_of_this_job();
  std::vector<GridShape> shapes;
  for (const int tp : {1, 2, 4, 8}) {
    for (int fsdp = 1; fsdp * tp <= ranks; ++fsdp) {
      if (ranks % (fsdp * tp) == 0) shapes.push_back({ranks / (fsdp * tp), fsdp, tp});
    }
  }
  return shapes;
}

}  // namespace gridmill::test
