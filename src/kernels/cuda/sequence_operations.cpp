#include "gridmill/base/check.hpp"
#include "kernels/cuda/cuda_backend.hpp"
#include "kernels/cuda/cuda_stream.hpp"
#include "kernels/cuda/mlstm.hpp"
#include "kernels/cuda/mlstm_state.hpp"
#include "kernels/sequence_checks.hpp"

namespace gridmill::cuda {

using namespace kernels_detail;

namespace {

CudaStream& cuda_stream(Stream& stream) { return dynamic_cast<CudaStream&>(stream); }

}  // namespace

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
  for (const TokenSpan& span : spans) args.longest = std::max(args.longest, span.tokens);
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
