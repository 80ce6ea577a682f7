#include <algorithm>
#include <vector>

#include "gridmill/base/check.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/kv_cache.hpp"
#include "kernels/cuda/mlstm.hpp"
#include "kernels/cuda/mlstm_state.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cuda {

using namespace kernels_detail;

namespace {

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

/// Partial sums of attention that are kept at a time.
constexpr std::size_t kMostPartialBytes = std::size_t{64} << 20;

}  // namespace

void CudaBackend::attend(Stream& stream, std::span<const TokenSpan> spans,
                         const Attention& attention, int layer, DeviceMatrix qkv, KvCache& cache,
                         PackedRows out) {
  auto* slots = dynamic_cast<CudaKvCache*>(&cache);
  GRIDMILL_ASSERT(slots != nullptr, "the cache belongs to another backend");
  check_attention(attention, qkv, slots->shape(), out);
  check_spans(spans, qkv.rows);
  std::vector<RowPlace> places(static_cast<std::size_t>(qkv.rows), RowPlace{-1, 0});
  int splits = 1;
  for (const TokenSpan& span : spans) {
    GRIDMILL_ASSERT(span.position + span.tokens <= attention.rotary.rows,
                    "the rotary table is too short");
    slots->grow(span.slot, span.position + span.tokens);
    for (std::int32_t t = 0; t < span.tokens; ++t) {
      places[static_cast<std::size_t>(span.row + t)] = {span.slot, span.position + t};
      splits = std::max(splits, attention_splits(span.position + t, attention.window));
    }
  }
  if (qkv.rows == 0) return;
  CudaStream& on = cuda_stream(stream);
  AttendArgs args;
  args.attention = attention;
  args.layer = layer;
  args.qkv = qkv;
  if (layer == 0) on.flush();  // before pages, which go up now and then
  args.places = on.stage(std::span<const RowPlace>(places));
  args.pages = slots->pages(on);
  args.out = out;
  args.splits = splits;
  launch_rotate(on.handle(), dtype_, args);
  const std::size_t row_norms =
      static_cast<std::size_t>(attention.heads) * static_cast<std::size_t>(splits) * 2;
  const std::size_t row_sums = row_norms / 2 * static_cast<std::size_t>(attention.head_dim);
  const auto most = std::max<std::int64_t>(
      1, static_cast<std::int64_t>(kMostPartialBytes / (row_sums * sizeof(float))));
  const auto kept = static_cast<std::size_t>(std::min(most, qkv.rows));
  args.partial_sums =
      reinterpret_cast<float*>(on.scratch(CudaStream::Use::sums, kept * row_sums * sizeof(float)));
  args.partial_norms = reinterpret_cast<float*>(
      on.scratch(CudaStream::Use::norms, kept * row_norms * sizeof(float)));
  for (std::int64_t first = 0; first < qkv.rows; first += most) {
    args.first_row = first;
    args.rows = std::min(most, qkv.rows - first);
    launch_attend(on.handle(), dtype_, args);
  }
}

void CudaBackend::run_mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                            int layer, ConstDeviceMatrix inputs, MlstmState& state,
                            PackedRows packed, const DeviceMatrix* unpacked) {
  auto* slots = dynamic_cast<CudaMlstmState*>(&state);
  GRIDMILL_ASSERT(slots != nullptr, "the state belongs to another backend");
  const std::int64_t width = static_cast<std::int64_t>(mlstm.heads) * mlstm.v_dim;
  check_mlstm(mlstm, inputs, slots->shape());
  check_spans(spans, inputs.rows);
  if (inputs.rows == 0) return;
  CudaStream& on = cuda_stream(stream);
  MlstmArgs args;
  args.mlstm = mlstm;
  args.spans = on.stage(spans);
  args.span_count = static_cast<int>(spans.size());
  args.inputs = inputs;
  if (layer == 0) on.flush();  // before slots are cleared, which happens now and then
  args.state = slots->layer(layer, on);
  args.factors = reinterpret_cast<float*>(
      on.scratch(CudaStream::Use::factors,
                 static_cast<std::size_t>(inputs.rows * mlstm.heads * mlstm_factors(mlstm.qk_dim)) *
                     sizeof(float)));
  args.packed = packed;
  args.gated = mlstm.output_gate && unpacked == nullptr;
  args.unpacked = unpacked != nullptr;
  if (unpacked != nullptr) {
    args.h = *unpacked;
  } else {
    args.h = {reinterpret_cast<float*>(
                  on.scratch(CudaStream::Use::hidden,
                             static_cast<std::size_t>(inputs.rows * width) * sizeof(float))),
              inputs.rows, width, width};
  }
  launch_mlstm(on.handle(), dtype_, args);
}

void CudaBackend::mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                        int layer, ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) {
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.inputs == std::int64_t{mlstm.heads} * mlstm.v_dim,
                  "wrong shape of the result");
  run_mlstm(stream, spans, mlstm, layer, inputs, state, out, nullptr);
}

void CudaBackend::mlstm_unpacked(Stream& stream, std::span<const TokenSpan> spans,
                                 const Mlstm& mlstm, int layer, ConstDeviceMatrix inputs,
                                 MlstmState& state, DeviceMatrix out) {
  GRIDMILL_ASSERT(out.rows == inputs.rows && out.columns == std::int64_t{mlstm.heads} * mlstm.v_dim,
                  "wrong shape of the result");
  run_mlstm(stream, spans, mlstm, layer, inputs, state, {}, &out);
}

}  // namespace gridmill::cuda
