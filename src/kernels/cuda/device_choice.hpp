#pragma once

namespace gridmill::cuda {

/// Which of a node's `devices` (at least 1) a rank takes: the one with its number on the node;
/// with `share` that modulo their number.
/// @throws ResourceError if there are more ranks than devices and they may not share.
[[nodiscard]] int choose_device(int node_rank, int devices, bool share);

}  // namespace gridmill::cuda
