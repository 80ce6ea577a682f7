#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::reference {

/// docs/numerics.md as plain loops: what every other backend is held to. One thread, and every call
/// has finished when it returns. Weights lie in panels of 16 outputs: [k][16] (bf16: k padded to
/// even with zeros). Packed rows are fp32 values that are already rounded, padded alike.
class ReferenceBackend final : public Backend {
 public:
  /// @param int8_products  BackendOptions::int8_products
  explicit ReferenceBackend(DType compute_dtype, bool int8_products = false)
      : dtype_(compute_dtype), int8_products_(int8_products) {}

  [[nodiscard]] std::string_view name() const override { return "reference"; }
  [[nodiscard]] std::string_view target() const override { return "scalar"; }
  [[nodiscard]] std::string_view numerics_id() const override {
    if (int8_products_) return "cpu-1-int8";
    return dtype_ == DType::bf16 ? "cpu-1-bf16" : "cpu-1-fp32";
  }
  [[nodiscard]] DType compute_dtype() const override { return dtype_; }
  [[nodiscard]] bool host_memory() const override { return true; }

  // memory.cpp
  [[nodiscard]] std::unique_ptr<Stream> make_stream() override;
  [[nodiscard]] Buffer allocate(std::size_t size_bytes) override;
  void upload(Stream& stream, std::span<const std::byte> host, std::byte* device) override;
  void download(Stream& stream, const std::byte* device, std::span<std::byte> host) override;
  [[nodiscard]] std::unique_ptr<KvCache> make_kv_cache(const KvCacheShape& shape) override;
  [[nodiscard]] std::unique_ptr<MlstmState> make_mlstm_state(const MlstmStateShape& shape) override;
  [[nodiscard]] std::unique_ptr<RecurrentState> make_recurrent_state(
      const RecurrentStateShape& shape) override;

  // packing.cpp
  [[nodiscard]] std::int64_t panel_outputs() const override;
  [[nodiscard]] std::size_t panel_bytes(const MatrixShape& shape,
                                        MatrixLayout layout) const override;
  [[nodiscard]] bool holds(const WeightFormat& format) const override;
  void pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                  std::span<const std::byte* const> lanes,
                  std::span<std::byte> panel) const override;
  [[nodiscard]] std::size_t packed_bytes(std::int64_t rows, std::int64_t inputs) const override;
  void pack_rows(Stream& stream, std::span<const ConstDeviceMatrix> x, PackedRows out) override;

  // linear.cpp
  void linear(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
              float soft_cap, DeviceMatrix out) override;
  void linear_gated(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
                    Activation activation, PackedRows out) override;
  void linear_activated(Stream& stream, const PackedRows& x, const Weight& w,
                        ConstDeviceVector bias, Activation activation, PackedRows out) override;
  // row_parallel.cpp
  void linear_row_parallel(Stream& stream, const PackedRows& x, const Weight& w,
                           ConstDeviceVector bias, bool accumulate, DeviceMatrix out) override;
  void linear_partial(Stream& stream, const PackedRows& x, const Weight& w, int tp_size,
                      DeviceMatrix out) override;
  void join_partials(Stream& stream, const float* parts, int tp_size, ConstDeviceVector bias,
                     bool accumulate, DeviceMatrix out) override;

  // rows.cpp
  void embed(Stream& stream, const Weight& table, std::int64_t first_id,
             std::span<const TokenId> ids, DeviceMatrix out) override;
  void norm_pack(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                 std::span<const std::int64_t> rows, PackedRows out) override;
  void norm_add(Stream& stream, ConstDeviceMatrix y, const Norm& norm, DeviceMatrix x) override;
  void norm_rows(Stream& stream, ConstDeviceMatrix x, const Norm& norm, DeviceMatrix out) override;
  void scale_add(Stream& stream, float x_scale, ConstDeviceMatrix y, float y_scale,
                 DeviceMatrix x) override;

  // attention.cpp
  void attend(Stream& stream, std::span<const TokenSpan> spans, const Attention& attention,
              int layer, DeviceMatrix qkv, KvCache& cache, PackedRows out) override;
  // mlstm.cpp
  void mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
             ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) override;
  void mlstm_unpacked(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                      int layer, ConstDeviceMatrix inputs, MlstmState& state,
                      DeviceMatrix out) override;
  // older_mlstm.cpp
  void channel_affine(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weight,
                      ConstDeviceVector bias, Activation activation, DeviceMatrix out) override;
  void block_diagonal(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector blocks,
                      std::int64_t groups, DeviceMatrix out) override;
  void skip_gate_pack(Stream& stream, ConstDeviceMatrix h, ConstDeviceVector skip,
                      ConstDeviceMatrix a, ConstDeviceMatrix z, Activation activation,
                      PackedRows out) override;
  // experts.cpp
  void row_dots(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weights,
                ConstDeviceVector bias, DeviceMatrix out) override;
  void gather_pack(Stream& stream, ConstDeviceMatrix x, std::span<const ExpertRows> experts,
                   std::span<const std::int64_t> rows, PackedRows out) override;
  void experts_gated(Stream& stream, const PackedRows& x, std::span<const ExpertRows> experts,
                     const ExpertGate& gate, PackedRows out) override;
  void experts_down(Stream& stream, const PackedRows& x, std::span<const ExpertRows> experts,
                    std::span<const std::int64_t> rows, std::span<const float> weights,
                    const ExpertSums& sums, DeviceMatrix blocks) override;

  // recurrence.cpp
  void short_convolution(Stream& stream, std::span<const TokenSpan> spans,
                         const ShortConvolution& convolution, int layer, ConstDeviceMatrix x,
                         RecurrentState& state, DeviceMatrix out) override;
  void decay_gates(Stream& stream, ConstDeviceMatrix x, ConstDeviceMatrix strength,
                   const DecayGates& gates, DeviceMatrix out) override;
  void norm_groups(Stream& stream, ConstDeviceMatrix x, const Norm& norm, int groups,
                   DeviceMatrix out) override;
  void linear_recurrence(Stream& stream, std::span<const TokenSpan> spans,
                         const LinearRecurrence& recurrence, int layer,
                         const RecurrenceInputs& inputs, RecurrentState& state,
                         DeviceMatrix out) override;
  void gated_norm_pack(Stream& stream, ConstDeviceMatrix y, ConstDeviceMatrix z,
                       const GatedNorm& gated, PackedRows out) override;
  void slstm(Stream& stream, std::span<const TokenSpan> spans, const Slstm& cell, int layer,
             ConstDeviceMatrix inputs, RecurrentState& state, DeviceMatrix out) override;

  // select.cpp
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

 private:
  DType dtype_;
  bool int8_products_;
};

}  // namespace gridmill::reference
