#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "gridmill/kernels/backend.hpp"
#include "kernels/cuda/product.hpp"
#include "kernels/cuda/runtime.hpp"

namespace gridmill::cuda {

/// The Backend on one NVIDIA device: docs/cuda.md. Calls return before the work has run.
class CudaBackend final : public Backend {
 public:
  /// `node_rank` and `share_device` choose the device (BackendOptions).
  /// @throws ResourceError without a device that can run it.
  explicit CudaBackend(DType compute_dtype, int node_rank = 0, bool share_device = false);

  [[nodiscard]] std::string_view name() const override { return "cuda"; }
  [[nodiscard]] std::string_view target() const override { return target_; }
  [[nodiscard]] std::string_view numerics_id() const override {
    return dtype_ == DType::bf16 ? "cuda-2-bf16" : "cuda-2-fp32";
  }
  [[nodiscard]] DType compute_dtype() const override { return dtype_; }
  [[nodiscard]] bool host_memory() const override { return false; }

  // cuda_backend.cpp
  [[nodiscard]] std::unique_ptr<Stream> make_stream() override;
  void order(Stream& after, Stream& before) override;
  [[nodiscard]] std::unique_ptr<Exchange> make_device_exchange(Exchange& group) override;
  [[nodiscard]] Buffer allocate(std::size_t size_bytes) override;
  [[nodiscard]] Buffer allocate_staging(std::size_t size_bytes) override;
  void upload(Stream& stream, std::span<const std::byte> host, std::byte* device) override;
  void download(Stream& stream, const std::byte* device, std::span<std::byte> host) override;
  [[nodiscard]] StateBudget state_budget(int node_ranks,
                                         std::uint64_t workspace_bytes) const override;
  [[nodiscard]] std::unique_ptr<KvCache> make_kv_cache(const KvCacheShape& shape) override;
  [[nodiscard]] std::unique_ptr<MlstmState> make_mlstm_state(const MlstmStateShape& shape) override;

  // packing.cpp
  [[nodiscard]] std::int64_t panel_outputs() const override { return kPanelOutputs; }
  [[nodiscard]] std::size_t panel_bytes(const MatrixShape& shape,
                                        MatrixLayout layout) const override;
  void pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                  std::span<const std::byte* const> lanes,
                  std::span<std::byte> panel) const override;
  [[nodiscard]] std::size_t packed_bytes(std::int64_t rows, std::int64_t inputs) const override;

  // product_operations.cpp
  void linear(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
              float soft_cap, DeviceMatrix out) override;
  void linear_gated(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
                    Activation activation, PackedRows out) override;
  void linear_activated(Stream& stream, const PackedRows& x, const Weight& w,
                        ConstDeviceVector bias, Activation activation, PackedRows out) override;
  void linear_row_parallel(Stream& stream, const PackedRows& x, const Weight& w,
                           ConstDeviceVector bias, bool accumulate, DeviceMatrix out) override;
  void linear_partial(Stream& stream, const PackedRows& x, const Weight& w, int tp_size,
                      DeviceMatrix out) override;
  void join_partials(Stream& stream, const float* parts, int tp_size, ConstDeviceVector bias,
                     bool accumulate, DeviceMatrix out) override;
  void select(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
              float soft_cap, std::int64_t vocab_size, std::int64_t first_id, int tp_size,
              std::span<const SelectRow> rows, SelectPartial* partials, DeviceMatrix kept) override;
  void adjust_logits(Stream& stream, std::span<const SamplingPlan> plans, const KeptLogits& kept,
                     LogitPeak* peaks) override;
  void count_logits(Stream& stream, std::span<const CountPass> passes, const KeptLogits& kept,
                    FilterBins* bins) override;
  void draw_logits(Stream& stream, std::span<const DrawPass> rows, const KeptLogits& kept,
                   Drawn* drawn) override;
  void list_logits(Stream& stream, std::span<const FilterRow> rows, const KeptLogits& kept,
                   std::int64_t most, RankedToken* listed) override;

  // row_operations.cpp
  void pack_rows(Stream& stream, std::span<const ConstDeviceMatrix> x, PackedRows out) override;
  void embed(Stream& stream, const Weight& table, std::int64_t first_id,
             std::span<const TokenId> ids, DeviceMatrix out) override;
  void norm_pack(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                 std::span<const std::int64_t> rows, PackedRows out) override;
  void norm_add(Stream& stream, ConstDeviceMatrix y, const Norm& norm, DeviceMatrix x) override;
  void norm_rows(Stream& stream, ConstDeviceMatrix x, const Norm& norm, DeviceMatrix out) override;
  void scale_add(Stream& stream, float x_scale, ConstDeviceMatrix y, float y_scale,
                 DeviceMatrix x) override;
  void channel_affine(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weight,
                      ConstDeviceVector bias, Activation activation, DeviceMatrix out) override;
  void block_diagonal(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector blocks,
                      std::int64_t groups, DeviceMatrix out) override;
  void skip_gate_pack(Stream& stream, ConstDeviceMatrix h, ConstDeviceVector skip,
                      ConstDeviceMatrix a, ConstDeviceMatrix z, Activation activation,
                      PackedRows out) override;

  // expert_operations.cpp
  void row_dots(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weights,
                ConstDeviceVector bias, DeviceMatrix out) override;
  void gather_pack(Stream& stream, ConstDeviceMatrix x, std::span<const ExpertRows> experts,
                   std::span<const std::int64_t> rows, PackedRows out) override;
  void experts_gated(Stream& stream, const PackedRows& x, std::span<const ExpertRows> experts,
                     const ExpertGate& gate, PackedRows out) override;
  void experts_down(Stream& stream, const PackedRows& x, std::span<const ExpertRows> experts,
                    std::span<const std::int64_t> rows, std::span<const float> weights,
                    const ExpertSums& sums, DeviceMatrix blocks) override;

  // sequence_operations.cpp
  void attend(Stream& stream, std::span<const TokenSpan> spans, const Attention& attention,
              int layer, DeviceMatrix qkv, KvCache& cache, PackedRows out) override;
  void mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
             ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) override;
  void mlstm_unpacked(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                      int layer, ConstDeviceMatrix inputs, MlstmState& state,
                      DeviceMatrix out) override;

  // benchmark.cpp
  [[nodiscard]] MachineLimits machine_limits(int threads) override;
  void fill_random(Stream& stream, const MatrixShape& shape, MatrixLayout layout,
                   std::int64_t panels, std::uint64_t seed, std::byte* data) override;

 private:
  /// Shapes checked, the weight's table filled in, and nothing launched for no rows.
  void run_product(Stream& stream, ProductArgs args, const Weight& w, Fuse fuse);
  void run_mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
                 ConstDeviceMatrix inputs, MlstmState& state, PackedRows packed,
                 const DeviceMatrix* unpacked);

  DType dtype_;
  std::string target_;
};

}  // namespace gridmill::cuda
