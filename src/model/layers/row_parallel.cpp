#include "model/layers/row_parallel.hpp"

namespace gridmill::model_detail {

void row_parallel_product(ExecutionContext& context, Workspace& workspace, const PackedRows& x,
                          const Weight& w, ConstDeviceVector bias, bool accumulate,
                          DeviceMatrix out) {
  const int tp_size = context.tp.size();
  if (tp_size == 1) {
    context.backend.linear_row_parallel(context.stream, x, w, bias, accumulate, out);
    return;
  }
  const DeviceMatrix partial =
      workspace.matrix(context.stream, Scratch::partial, out.rows, out.columns);
  context.backend.linear_partial(context.stream, x, w, tp_size, partial);
  join_over_ranks(context, workspace, partial, bias, accumulate, out);
}

void join_over_ranks(ExecutionContext& context, Workspace& workspace, ConstDeviceMatrix partial,
                     ConstDeviceVector bias, bool accumulate, DeviceMatrix out) {
  const int tp_size = context.tp.size();
  const DeviceMatrix parts =
      workspace.matrix(context.stream, Scratch::parts, tp_size * out.rows, out.columns);
  context.tp.all_gather(context.stream, reinterpret_cast<const std::byte*>(partial.data),
                        static_cast<std::size_t>(out.rows * out.columns) * sizeof(float),
                        reinterpret_cast<std::byte*>(parts.data));
  context.backend.join_partials(context.stream, parts.data, tp_size, bias, accumulate, out);
}

}  // namespace gridmill::model_detail
