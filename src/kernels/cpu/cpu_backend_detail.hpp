#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gridmill/kernels/backend.hpp"
#include "kernels/cpu/dispatch.hpp"
#include "kernels/cpu/float_mode.hpp"
#include "kernels/cpu/kernel_table.hpp"
#include "kernels/cpu/thread_pool.hpp"

namespace gridmill::cpu {

/// Checks shapes, cuts every operation into one part a thread, and calls the target's kernels.
/// Every call has finished when it returns.
class CpuBackend final : public Backend {
 public:
  /// @param int8_products  BackendOptions::int8_products
  CpuBackend(const KernelChoice& choice, DType compute_dtype, bool int8_products, int threads)
      : kernels_(choice.table),
        target_reason_(choice.why),
        dtype_(compute_dtype),
        int8_products_(int8_products),
        pool_(threads),
        scratch_(static_cast<std::size_t>(threads)) {}

  [[nodiscard]] std::string_view name() const override { return "cpu"; }
  [[nodiscard]] std::string_view target() const override { return kernels_.target; }
  [[nodiscard]] std::string target_reason() const override { return target_reason_; }
  [[nodiscard]] std::string_view numerics_id() const override {
    if (int8_products_) return "cpu-1-int8";
    return dtype_ == DType::bf16 ? "cpu-1-bf16" : "cpu-1-fp32";
  }
  [[nodiscard]] DType compute_dtype() const override { return dtype_; }
  [[nodiscard]] bool host_memory() const override { return true; }

  // cpu_backend.cpp
  [[nodiscard]] std::unique_ptr<Stream> make_stream() override;
  [[nodiscard]] Buffer allocate(std::size_t size_bytes) override;
  void upload(Stream& stream, std::span<const std::byte> host, std::byte* device) override;
  void download(Stream& stream, const std::byte* device, std::span<std::byte> host) override;
  [[nodiscard]] StateBudget host_state_budget(std::optional<std::uint64_t> share) const override;
  [[nodiscard]] std::unique_ptr<KvCache> make_kv_cache(const KvCacheShape& shape) override;
  [[nodiscard]] std::unique_ptr<MlstmState> make_mlstm_state(const MlstmStateShape& shape) override;
  [[nodiscard]] std::unique_ptr<RecurrentState> make_recurrent_state(
      const RecurrentStateShape& shape) override;

  // packing.cpp
  [[nodiscard]] std::int64_t panel_outputs() const override { return kPanelOutputs; }
  [[nodiscard]] std::size_t panel_bytes(const MatrixShape& shape,
                                        MatrixLayout layout) const override;
  [[nodiscard]] bool holds(const WeightFormat& format) const override;
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

  // filter_operations.cpp
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

  // recurrence_operations.cpp
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

  // sequence_operations.cpp
  void attend(Stream& stream, std::span<const TokenSpan> spans, const Attention& attention,
              int layer, DeviceMatrix qkv, KvCache& cache, PackedRows out) override;
  void mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
             ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) override;
  void mlstm_unpacked(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                      int layer, ConstDeviceMatrix inputs, MlstmState& state,
                      DeviceMatrix out) override;

 private:
  /// Runs kernel(args, worker) on up to `units` threads, each with `scratch_bytes` of scratch and
  /// the floating-point mode set.
  template <typename Args>
  void run(void (*kernel)(const Args&, const Worker&), const Args& args, std::int64_t units,
           std::size_t scratch_bytes) {
    const int parts = begin(units, scratch_bytes);
    pool_.run(parts, [&](int part) {
      const FloatMode mode(dtype_);
      kernel(args, {part, parts, scratch_[static_cast<std::size_t>(part)].data()});
    });
  }
  /// Threads for `units` units of work, after their scratch has been made large enough.
  [[nodiscard]] int begin(std::int64_t units, std::size_t scratch_bytes);
  [[nodiscard]] PanelView view_of(const Weight& w) const;
  void check_product(const PackedRows& x, const Weight& w, Fuse fuse) const;
  void run_product(const ProductArgs& args, const Weight& w);
  /// Kernels for the codes of `format`.
  [[nodiscard]] const CodedKernels& coded_kernels(const WeightFormat& format) const;
  /// Rows of codes out of packed rows, in memory of this backend until the next call.
  [[nodiscard]] PackedRows coded_rows(const PackedRows& x, const WeightFormat& format,
                                      const ChainView& chains, std::span<const ExpertView> parts);
  [[nodiscard]] std::vector<ExpertView> views_of(std::span<const ExpertRows> experts,
                                                 const PackedRows& x, Fuse fuse) const;
  /// Runs row(r, part) for every row, with the floating-point mode set (filter_operations.cpp).
  template <typename Row>
  void run_rows(std::size_t rows, const Row& row);
  void run_mlstm(std::span<const TokenSpan> spans, const Mlstm& mlstm, int layer,
                 ConstDeviceMatrix inputs, MlstmState& state, PackedRows packed_out,
                 DeviceMatrix out);

  KernelTable kernels_;
  std::string target_reason_;
  DType dtype_;
  bool int8_products_;
  ThreadPool pool_;
  std::vector<Buffer> scratch_;                             ///< one a thread
  Buffer coded_rows_;                                       ///< inputs of a product of codes
  std::vector<SelectPartial> block_partials_;               ///< of the selection
  std::vector<std::vector<std::uint32_t>> filter_scratch_;  ///< keys of blocks, one a thread
};

}  // namespace gridmill::cpu
