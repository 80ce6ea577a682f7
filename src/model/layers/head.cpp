#include "model/layers/head.hpp"

#include <algorithm>
#include <vector>

#include "model/layers/selection.hpp"

namespace gridmill::model_detail {

namespace {

/// Wanted rows of x, one after the other, where no norm gathers them. A run of neighbours is copied
/// as a tree of one part.
ConstDeviceMatrix gather_rows(ExecutionContext& context, Workspace& workspace, ConstDeviceMatrix x,
                              std::span<const std::int64_t> wanted) {
  const auto count = static_cast<std::int64_t>(wanted.size());
  const DeviceMatrix rows = workspace.matrix(context.stream, Scratch::head_rows, count, x.columns);
  std::int64_t end = 0;
  for (std::int64_t first = 0; first < count; first = end) {
    const std::int64_t from = wanted[static_cast<std::size_t>(first)];
    end = first + 1;
    while (end < count && wanted[static_cast<std::size_t>(end)] == from + end - first) ++end;
    context.backend.join_partials(context.stream, x.rows_at(from, end - first).data, 1, {}, false,
                                  rows.rows_at(first, end - first));
  }
  return rows;
}

PackedRows pack_head_input(const Head& head, ExecutionContext& context, Workspace& workspace,
                           const UnitWeights& weights, ConstDeviceMatrix x,
                           std::span<const std::int64_t> wanted) {
  const PackedRows packed = workspace.packed(context.stream, Scratch::head_input,
                                             static_cast<std::int64_t>(wanted.size()), x.columns);
  if (head.norm_weight < 0) {
    const ConstDeviceMatrix rows = gather_rows(context, workspace, x, wanted);
    context.backend.pack_rows(context.stream, std::span(&rows, 1), packed);
    return packed;
  }
  const Norm norm{.kind = head.norm_kind,
                  .eps = head.norm_eps,
                  .weight = vector_or_none(weights, head.norm_weight),
                  .bias = vector_or_none(weights, head.norm_bias),
                  .scale = head.scale};
  context.backend.norm_pack(context.stream, x, norm, wanted, packed);
  return packed;
}

/// This rank's slice of the bias, times the scale that the packed rows carry already.
ConstDeviceVector scaled_bias(const Head& head, ExecutionContext& context, Workspace& workspace,
                              const UnitWeights& weights) {
  const ConstDeviceVector bias = vector_or_none(weights, head.bias);
  if (bias.empty() || head.scale == 1) return bias;
  // A tree of one part copies.
  const DeviceMatrix scaled = workspace.matrix(context.stream, Scratch::head_bias, 1, bias.size);
  context.backend.join_partials(context.stream, bias.data, 1, {}, false, scaled);
  context.backend.scale_add(context.stream, head.scale, {}, 1, scaled);
  return {scaled.data, scaled.columns};
}

void gather_logits(const SelectionHead& head, ExecutionContext& context, Workspace& workspace,
                   const PackedRows& packed, Tensor<float, 2>& logits) {
  const int tp_size = context.tp.size();
  // Every rank sends the width of a full slice, so that all parts have the same size.
  const std::int64_t width =
      tp_size == 1 ? head.vocab_size : vocabulary_slice(head.vocab_size, tp_size, 0).count;
  std::vector<float> part(static_cast<std::size_t>(packed.rows * width));
  for (std::int64_t first = 0; first < packed.rows && head.ids.count > 0; first += kLogitRows) {
    const std::int64_t count = std::min(kLogitRows, packed.rows - first);
    const PackedRows piece{packed.data + context.backend.packed_bytes(first, packed.inputs), count,
                           packed.inputs};
    const DeviceMatrix out =
        workspace.matrix(context.stream, Scratch::head_output, count, head.ids.count);
    context.backend.linear(context.stream, piece, head.weight, head.bias, head.soft_cap, out);
    context.backend.download(context.stream, reinterpret_cast<const std::byte*>(out.data),
                             std::as_writable_bytes(std::span(part).subspan(
                                 static_cast<std::size_t>(first * head.ids.count),
                                 static_cast<std::size_t>(count * head.ids.count))));
    context.stream.synchronize();
  }
  std::vector<float> whole;
  if (tp_size > 1) {
    whole.resize(part.size() * static_cast<std::size_t>(tp_size));
    context.tp.all_gather_host(part.data(), part.size() * sizeof(float), whole.data());
  } else {
    whole = std::move(part);
  }
  logits = Tensor<float, 2>({packed.rows, head.vocab_size});
  for (int rank = 0; rank < tp_size; ++rank) {
    const IndexRange slice = vocabulary_slice(head.vocab_size, tp_size, rank);
    const float* of_rank = whole.data() + rank * packed.rows * width;
    for (std::int64_t row = 0; row < packed.rows; ++row) {
      std::copy_n(of_rank + row * slice.count, slice.count,
                  logits.view().row(row).begin() + slice.first);
    }
  }
}

}  // namespace

void run_head(const Head& head, ExecutionContext& context, Workspace& workspace,
              const UnitWeights& weights, ConstDeviceMatrix x, std::span<const std::int64_t> wanted,
              const HeadRequest& request) {
  if (wanted.empty()) {
    if (request.choices != nullptr) request.choices->clear();
    if (request.logits != nullptr) *request.logits = Tensor<float, 2>({0, head.vocab_size});
    return;
  }
  const PackedRows packed = pack_head_input(head, context, workspace, weights, x, wanted);
  const SelectionHead slice{
      .weight = weights.matrices.at(static_cast<std::size_t>(head.weight)),
      .bias = scaled_bias(head, context, workspace, weights),
      .soft_cap = head.soft_cap,
      .vocab_size = head.vocab_size,
      .ids = vocabulary_slice(head.vocab_size, context.tp.size(), context.tp.rank())};
  if (request.choices != nullptr) {
    select_rows(slice, context, workspace, packed, request.rows, *request.choices);
  }
  if (request.logits != nullptr) {
    gather_logits(slice, context, workspace, packed, *request.logits);
  }
}

}  // namespace gridmill::model_detail
