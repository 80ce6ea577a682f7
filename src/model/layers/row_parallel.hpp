#pragma once

#include "gridmill/model/model.hpp"
#include "model/layers/workspace.hpp"

namespace gridmill::model_detail {

/// out = x W^T + bias (+ out, if `accumulate`) for a row-parallel W, whole on every tp rank. At
/// tp > 1 each rank forms the sum of its sub-tree, the sums are gathered, and every rank finishes
/// the tree and adds the bias once. Collective over the tp group.
void row_parallel_product(ExecutionContext& context, Workspace& workspace, const PackedRows& x,
                          const Weight& w, ConstDeviceVector bias, bool accumulate,
                          DeviceMatrix out);

/// out = tree(the `partial` sums of all tp ranks) + bias (+ out, if `accumulate`), whole on every
/// rank of a group of more than one. Collective over the tp group.
void join_over_ranks(ExecutionContext& context, Workspace& workspace, ConstDeviceMatrix partial,
                     ConstDeviceVector bias, bool accumulate, DeviceMatrix out);

}  // namespace gridmill::model_detail
