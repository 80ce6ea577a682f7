#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "gridmill/base/device.hpp"
#include "gridmill/base/dtype.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/numerics.hpp"
#include "gridmill/kernels/experts.hpp"
#include "gridmill/kernels/kept_logits.hpp"
#include "gridmill/kernels/machine_limits.hpp"
#include "gridmill/kernels/recurrence.hpp"
#include "gridmill/kernels/state.hpp"
#include "gridmill/params/weight.hpp"
#include "gridmill/sampling/sampling_plan.hpp"

namespace gridmill {

/// Inputs of a matrix product, [rows, inputs], rounded to the compute dtype, in a layout of the
/// backend's own.
struct PackedRows {
  std::byte* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t inputs = 0;
  bool operator==(const PackedRows& other) const = default;
};

/// Consecutive tokens of one sequence inside a batch.
struct TokenSpan {
  SlotId slot = 0;
  std::int32_t position = 0;  ///< absolute position of the first token
  std::int64_t row = 0;       ///< its row in the batch
  std::int32_t tokens = 0;
  bool given = true;  ///< prompt tokens; false for generated ones, also when they are replayed
  /// The row may get longer than Attention::rotary holds: Attention::long_rotary applies to it.
  bool long_row = false;
};

enum class NormKind : std::uint8_t { rms, layer };

/// y = ((x - mean) * r * weight + bias) * scale, with mean = 0 for rms and r = 1 / sqrt(mean((x -
/// mean)^2) + eps).
struct Norm {
  NormKind kind = NormKind::rms;
  float eps = 1e-6F;
  ConstDeviceVector weight;
  ConstDeviceVector bias;  ///< may be empty
  float scale = 1.0F;
  bool operator==(const Norm& other) const = default;
};

/// Operation between a recurrence and the product behind it: norm(y) * act(z), or with
/// `gate_first` norm(y * act(z)).
struct GatedNorm {
  /// Over each of `groups` equal parts of the columns; weight [columns], or [columns / groups] for
  /// all of them; no bias.
  Norm norm;
  int groups = 0;  ///< 0: no norm
  bool gate_first = false;
  Activation activation = Activation::silu;
  bool operator==(const GatedNorm& other) const = default;
};

/// Layout and options of causal attention on one tp rank. qkv columns: heads * head_dim queries,
/// then kv_heads * head_dim keys, then as many values, then if output_gate heads * head_dim gates.
/// q and k: norm, clamp, rotation; v: clamp.
struct Attention {
  int heads = 0;
  int kv_heads = 0;  ///< query head h reads kv head h / (heads / kv_heads)
  int head_dim = 0;
  float scale = 1.0F;  ///< factor of q.k
  std::int32_t window =
      0;  ///< visible: the last `window` positions, the current one included; 0 = all
  /// Norm of each query head: one weight [head_dim], or one a head [heads * head_dim]; empty =
  /// none.
  ConstDeviceVector q_norm = {};
  ConstDeviceVector k_norm = {};
  float norm_eps = 1e-6F;
  /// cos, then sin, of every position: [positions][2][n / 2], n <= head_dim; component i < n / 2 is
  /// rotated with i + n / 2. No data: no rotation.
  ConstDeviceMatrix rotary = {};
  NormKind norm_kind = NormKind::rms;
  /// q, k and v are clamped to [-clip, clip]; 0 = not.
  float clip = 0;
  /// score = score_cap * tanh(score / score_cap); 0 = not.
  float score_cap = 0;
  /// [heads], or empty: a score each that joins the softmax last and has no value.
  ConstDeviceVector sinks = {};
  /// The result times sigmoid(gate).
  bool output_gate = false;
  /// The table of spans with TokenSpan::long_row; no data: there are none.
  ConstDeviceMatrix long_rotary = {};
  bool operator==(const Attention& other) const = default;

  [[nodiscard]] const ConstDeviceMatrix& rotary_of(const TokenSpan& span) const {
    return span.long_row ? long_rotary : rotary;
  }
};

/// One mLSTM layer on one tp rank, the recurrence of Beck et al., "xLSTM", 2024 (docs/models.md).
/// Columns of the input matrix: q [H dqk], k [H dqk], v [H dv], then if output_gate o [H dv], then
/// input gates [H], forget gates [H]: pre-activations, before the soft cap.
struct Mlstm {
  int heads = 0;
  int qk_dim = 0;
  int v_dim = 0;
  float gate_soft_cap = 0;  ///< 0 = none
  float denominator_eps = 1e-6F;
  ConstDeviceVector
      q_norm;  ///< [dqk], of each head before the cell, kind `qk_norm_kind`; empty = none
  ConstDeviceVector k_norm;
  NormKind qk_norm_kind = NormKind::rms;
  Norm head_norm;  ///< over each head's dv values; weight and bias [H dv]
  float qk_norm_eps = 1e-6F;
  bool output_gate = true;  ///< multiply by sigmoid(o) at the end
  bool operator==(const Mlstm& other) const = default;
};

/// Rows whose logits are in memory at a time, at most. As many as a device decodes in a pass
/// (StateBudget::most_slots), so that it reads a head once.
inline constexpr std::int64_t kLogitRows = 256;

/// One row of a selection.
struct SelectRow {
  SamplingPlan plan;
  TokenId target =
      -1;  ///< a token whose log-probability is wanted too (teacher forcing); -1 = none
  bool logprobs = true;  ///< without, max_logit and sum_exp of the partials are 0
  std::int32_t top = 0;  ///< most likely tokens that are wanted, too
  /// Row of the kept logits that receives this row's; -1 = they are dropped.
  std::int32_t kept = -1;
};

struct BackendOptions {
  DType compute_dtype = DType::fp32;  ///< fp32 or bf16
  /// With bf16: products with weights of codes (WeightFormat) round their inputs to int8, too.
  bool int8_products = false;
  int threads = 1;
  int node_rank = 0;          ///< of this process among those of its node: cuda takes this device
  bool share_device = false;  ///< cuda: more processes than devices may share them
  std::string kernel_target = "auto";  ///< cpu: avx512bf16, avx512, avx2; others take "auto" only
};

/// Memory for the states of sequences, and how many sequences are worth having.
struct StateBudget {
  bool known = true;             ///< whether `bytes` says anything
  std::uint64_t bytes = 0;       ///< that states may take now
  int most_slots = 0;            ///< beyond so many rows a decode step no longer gets faster
  std::int64_t pass_rows = 512;  ///< beyond so many tokens a pass of a prompt no longer gets faster
  /// All slots share one pool of pages (KvCacheShape::pool_positions), which rows take as they
  /// grow.
  bool pooled = false;
  /// Pages take memory when they are used first, not when the pool is made.
  bool on_demand = false;
};

/// Numeric operations on one device. The arithmetic of every operation is fixed by
/// docs/numerics.md: an output row depends on its own input row (and its own slot's state) only,
/// whatever else is in the batch. Calls may return before the work has run (see Stream); host spans
/// are read during the call (other than those in staging memory), or filled when the stream is
/// synchronised. Matrices with 0 rows are allowed everywhere. Not thread-safe: one thread drives a
/// backend.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  // --- identity
  [[nodiscard]] virtual std::string_view name() const = 0;    ///< reference, cpu, cuda
  [[nodiscard]] virtual std::string_view target() const = 0;  ///< e.g. avx512bf16, scalar
  /// Why this target, e.g. what was measured; empty where there is no choice.
  [[nodiscard]] virtual std::string target_reason() const { return {}; }
  [[nodiscard]] virtual std::string_view numerics_id() const = 0;  ///< equal ids promise equal bits
  [[nodiscard]] virtual DType compute_dtype() const = 0;
  /// Buffers are ordinary host memory, and prepared weights may lie in any host memory (e.g. shared
  /// by a node).
  [[nodiscard]] virtual bool host_memory() const = 0;

  // --- memory
  [[nodiscard]] virtual std::unique_ptr<Stream> make_stream() = 0;
  /// Later work of `after` runs behind all work that was submitted to `before` so far.
  virtual void order(Stream& after, Stream& before);
  /// Collective over `group`: an exchange among its ranks that reaches their buffers directly, over
  /// the links of their devices; nullptr, on all of them, where there is none (then `group` itself
  /// has to do). `group` must outlive it.
  [[nodiscard]] virtual std::unique_ptr<Exchange> make_device_exchange(Exchange& group);
  /// Zeroed, 4096-byte aligned. @throws ResourceError
  [[nodiscard]] virtual Buffer allocate(std::size_t size_bytes) = 0;
  /// Memory of the host, of any content, from which upload() copies without a wait: on a device it
  /// is read in stream order, so it may change or go only when the stream has been synchronised.
  /// @throws ResourceError
  [[nodiscard]] virtual Buffer allocate_staging(std::size_t size_bytes);
  virtual void upload(Stream& stream, std::span<const std::byte> host, std::byte* device) = 0;
  /// `host` is filled once the stream is synchronised.
  virtual void download(Stream& stream, const std::byte* device, std::span<std::byte> host) = 0;
  /// Budget of one of the `node_ranks` processes on this node; on a device `workspace_bytes` stay
  /// free for passes.
  [[nodiscard]] virtual StateBudget state_budget(int node_ranks,
                                                 std::uint64_t workspace_bytes) const;
  /// The same for a process that may take `share` bytes of its host's memory beside its parameters,
  /// whichever machine that is; nothing = unknown. For backends with host memory.
  [[nodiscard]] virtual StateBudget host_state_budget(std::optional<std::uint64_t> share) const;
  [[nodiscard]] virtual std::unique_ptr<KvCache> make_kv_cache(const KvCacheShape& shape) = 0;
  [[nodiscard]] virtual std::unique_ptr<MlstmState> make_mlstm_state(
      const MlstmStateShape& shape) = 0;
  /// @throws UsageError by a backend without recurrent layers other than mLSTM.
  [[nodiscard]] virtual std::unique_ptr<RecurrentState> make_recurrent_state(
      const RecurrentStateShape& shape);

  // --- weights. Panels are position-independent bytes: they may be moved and gathered.
  /// Outputs of a panel.
  [[nodiscard]] virtual std::int64_t panel_outputs() const = 0;
  /// Bytes of one panel (MatrixLayout::rows: of one row) of a matrix with `inputs` inputs here.
  [[nodiscard]] virtual std::size_t panel_bytes(const MatrixShape& shape,
                                                MatrixLayout layout) const = 0;
  /// Whether panels may hold weights in `format` (docs/numerics.md, section 2a); others have to be
  /// dequantised before they are packed.
  [[nodiscard]] virtual bool holds(const WeightFormat& format) const { return !format.coded(); }
  /// Packs one panel on the host: lane l from lanes[l], `inputs` elements of `dtype` each, nullptr
  /// for zeros. MatrixLayout::rows: lanes has one entry. Values are rounded to the compute dtype.
  /// With codes (`shape.format`) a lane is MatrixShape::coded_row_bytes() long and `dtype` means
  /// nothing.
  /// May be called from several threads at once.
  virtual void pack_panel(const MatrixShape& shape, MatrixLayout layout, DType dtype,
                          std::span<const std::byte* const> lanes,
                          std::span<std::byte> panel) const = 0;

  // --- products
  /// Rows from a multiple of 8 on are packed rows, too, packed_bytes of those before them further.
  [[nodiscard]] virtual std::size_t packed_bytes(std::int64_t rows, std::int64_t inputs) const = 0;
  /// Rounds `x` to the compute dtype and packs it. Several sources are concatenated along the
  /// columns.
  virtual void pack_rows(Stream& stream, std::span<const ConstDeviceMatrix> x, PackedRows out) = 0;
  /// out = cap(x W^T + bias); `bias` [O] may be empty; `soft_cap` 0 = none.
  virtual void linear(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
                      float soft_cap, DeviceMatrix out) = 0;
  /// out = act(x Wgate^T + bgate) * (x Wup^T + bup), W interleaved (gate | up); `bias` [2 F], gate
  /// first, may be empty.
  virtual void linear_gated(Stream& stream, const PackedRows& x, const Weight& w,
                            ConstDeviceVector bias, Activation activation, PackedRows out) = 0;
  /// out = act(x W^T + bias), for feed-forward layers without gate.
  virtual void linear_activated(Stream& stream, const PackedRows& x, const Weight& w,
                                ConstDeviceVector bias, Activation activation, PackedRows out) = 0;
  /// Row-parallel product with every block here: out = tree(blocks) + bias (+ out, if
  /// `accumulate`).
  virtual void linear_row_parallel(Stream& stream, const PackedRows& x, const Weight& w,
                                   ConstDeviceVector bias, bool accumulate, DeviceMatrix out) = 0;
  /// Row-parallel product of this rank's blocks only: the sum of its sub-tree, `tp_size` ranks
  /// share the 8 blocks.
  virtual void linear_partial(Stream& stream, const PackedRows& x, const Weight& w, int tp_size,
                              DeviceMatrix out) = 0;
  /// Finishes the tree: `parts` holds tp_size matrices [rows, O] one after the other (row stride
  /// O); out = tree(parts) + bias (+ out, if `accumulate`).
  virtual void join_partials(Stream& stream, const float* parts, int tp_size,
                             ConstDeviceVector bias, bool accumulate, DeviceMatrix out) = 0;

  // --- rows
  /// Rows of an embedding table (layout rows) or of a prepared head (tied): out[i] = row ids[i] -
  /// first_id. Ids that `table` does not hold leave their row of `out` as it was.
  virtual void embed(Stream& stream, const Weight& table, std::int64_t first_id,
                     std::span<const TokenId> ids, DeviceMatrix out) = 0;
  /// out[i] = norm(x[rows[i]]), packed; an empty `rows` takes every row of x.
  virtual void norm_pack(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                         std::span<const std::int64_t> rows, PackedRows out) = 0;
  /// x += norm(y): a norm behind a block.
  virtual void norm_add(Stream& stream, ConstDeviceMatrix y, const Norm& norm, DeviceMatrix x) = 0;
  /// out = norm(x) in fp32, not rounded to the compute dtype; `out` may be x.
  virtual void norm_rows(Stream& stream, ConstDeviceMatrix x, const Norm& norm,
                         DeviceMatrix out) = 0;
  /// x = x_scale * x, and with `y` (no data: without) then x = y_scale * y + x, rounded once.
  virtual void scale_add(Stream& stream, float x_scale, ConstDeviceMatrix y, float y_scale,
                         DeviceMatrix x) = 0;

  // --- experts
  /// out[r][o] = x[r] . weights[o] + bias[o], in fp32 whatever the compute dtype: a router.
  /// @param weights  [O, K] row-major.
  /// @param bias  [O]; may be empty.
  virtual void row_dots(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weights,
                        ConstDeviceVector bias, DeviceMatrix out) = 0;
  /// Packed row i of `out` = x[rows[i]], for the rows that belong to an expert.
  /// @param rows  [out.rows]; entries between experts are ignored.
  virtual void gather_pack(Stream& stream, ConstDeviceMatrix x, std::span<const ExpertRows> experts,
                           std::span<const std::int64_t> rows, PackedRows out) = 0;
  /// Gate and up of every expert for its rows of `x`, combined by `gate`, into the same rows of
  /// `out`. Weights are [2 F, D] interleaved; biases [2 F], gate first.
  virtual void experts_gated(Stream& stream, const PackedRows& x,
                             std::span<const ExpertRows> experts, const ExpertGate& gate,
                             PackedRows out) = 0;
  /// The weighted sums of the experts' row-parallel products, block by block: for each of the 8 /
  /// tp_size blocks b of this rank, blocks[b][rows[i]] = fma(weights[i], chain_b of packed row i,
  /// blocks[b][rows[i]]) over experts in the order given, from +0 or from what `blocks` holds. An
  /// expert's bias is added to its chain of block 0.
  /// @param rows  [x.rows], in [0, rows of a block); entries between experts are ignored.
  /// @param weights  [x.rows], as `rows`.
  /// @param blocks  8 / tp_size matrices [R, O] one after the other: R = blocks.rows * tp_size / 8.
  virtual void experts_down(Stream& stream, const PackedRows& x,
                            std::span<const ExpertRows> experts, std::span<const std::int64_t> rows,
                            std::span<const float> weights, const ExpertSums& sums,
                            DeviceMatrix blocks) = 0;

  // --- sequences
  /// Normalises (if asked) and rotates q and k at their absolute positions, appends k and v to the
  /// slots' caches, and attends: out [rows, heads * head_dim], packed. `qkv` is scratch afterwards.
  virtual void attend(Stream& stream, std::span<const TokenSpan> spans, const Attention& attention,
                      int layer, DeviceMatrix qkv, KvCache& cache, PackedRows out) = 0;
  /// Advances the slots' states over their tokens and reads them out: h [rows, H dv], normalised
  /// and gated, packed.
  virtual void mlstm(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                     int layer, ConstDeviceMatrix inputs, MlstmState& state, PackedRows out) = 0;
  /// The same without packing and output gate, for layers that go on with h in fp32.
  virtual void mlstm_unpacked(Stream& stream, std::span<const TokenSpan> spans, const Mlstm& mlstm,
                              int layer, ConstDeviceMatrix inputs, MlstmState& state,
                              DeviceMatrix out) = 0;

  // --- recurrent layers (docs/numerics.md, section 6b). A backend without them throws UsageError.
  /// Convolves the tokens of every span behind the slot's last inputs, which it replaces.
  /// @param out  [rows, channels], other memory than x.
  virtual void short_convolution(Stream& stream, std::span<const TokenSpan> spans,
                                 const ShortConvolution& convolution, int layer,
                                 ConstDeviceMatrix x, RecurrentState& state, DeviceMatrix out);
  /// out = decay [H], then strength [H]: sigmoid(strength), or without one (no data) t.
  virtual void decay_gates(Stream& stream, ConstDeviceMatrix x, ConstDeviceMatrix strength,
                           const DecayGates& gates, DeviceMatrix out);
  /// out = norm of each of `groups` equal parts of x's columns, in fp32; `out` may be x. Weight as
  /// in GatedNorm.
  virtual void norm_groups(Stream& stream, ConstDeviceMatrix x, const Norm& norm, int groups,
                           DeviceMatrix out);
  /// Advances the slots' states over their tokens and reads them out: out [rows, H dv].
  virtual void linear_recurrence(Stream& stream, std::span<const TokenSpan> spans,
                                 const LinearRecurrence& recurrence, int layer,
                                 const RecurrenceInputs& inputs, RecurrentState& state,
                                 DeviceMatrix out);
  /// out = norm and gate of y, packed. @param z  no data: no gate.
  virtual void gated_norm_pack(Stream& stream, ConstDeviceMatrix y, ConstDeviceMatrix z,
                               const GatedNorm& gated, PackedRows out);
  /// Advances the slots' cells token by token: out = y [rows, H hd].
  virtual void slstm(Stream& stream, std::span<const TokenSpan> spans, const Slstm& cell, int layer,
                     ConstDeviceMatrix inputs, RecurrentState& state, DeviceMatrix out);

  // --- parts of the older mLSTM layer of xlstm-jax
  /// out = act(x * weight + bias), by channel.
  virtual void channel_affine(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector weight,
                              ConstDeviceVector bias, Activation activation, DeviceMatrix out) = 0;
  /// Block-diagonal product in fp32: blocks [G, out/G, in/G] row-major; one ascending chain each.
  virtual void block_diagonal(Stream& stream, ConstDeviceMatrix x, ConstDeviceVector blocks,
                              std::int64_t groups, DeviceMatrix out) = 0;
  /// out = (h + skip * a) * act(z), packed.
  virtual void skip_gate_pack(Stream& stream, ConstDeviceMatrix h, ConstDeviceVector skip,
                              ConstDeviceMatrix a, ConstDeviceMatrix z, Activation activation,
                              PackedRows out) = 0;

  // --- selection
  /// Product with the head, bias, soft cap, and selection, with the logits of kLogitRows rows in
  /// memory at most. `w` holds ids [first_id, first_id + w.shape.outputs), a whole number of
  /// vocabulary groups except at the end; `bias` [w.shape.outputs] may be empty. `partials` (device
  /// memory) receives [rows][8 / tp_size] entries.
  /// Rules and filters of the plans have no effect; logits of rows for which they have are kept in
  /// `kept` (SelectRow::kept), [any number of rows, w.shape.outputs], for the second stage.
  virtual void select(Stream& stream, const PackedRows& x, const Weight& w, ConstDeviceVector bias,
                      float soft_cap, std::int64_t vocab_size, std::int64_t first_id, int tp_size,
                      std::span<const SelectRow> rows, SelectPartial* partials,
                      DeviceMatrix kept) = 0;

  // --- second stage, of rows whose logits were kept. Results are device memory.
  /// The rules of each row are applied to its logits; `kept.block_keys` and `kept.rule_logits` are
  /// filled. `peaks`: one a row.
  virtual void adjust_logits(Stream& stream, std::span<const SamplingPlan> plans,
                             const KeptLogits& kept, LogitPeak* peaks) = 0;
  /// `bins`: one a pass, of the rows that the passes name.
  virtual void count_logits(Stream& stream, std::span<const CountPass> passes,
                            const KeptLogits& kept, FilterBins* bins) = 0;
  /// The best kept id of each row; `drawn`: one a row.
  virtual void draw_logits(Stream& stream, std::span<const DrawPass> rows, const KeptLogits& kept,
                           Drawn* drawn) = 0;
  /// The kept ids of each row here, `most` at most, in any order, then entries without id:
  /// `listed` [rows][most].
  virtual void list_logits(Stream& stream, std::span<const FilterRow> rows, const KeptLogits& kept,
                           std::int64_t most, RankedToken* listed) = 0;

  // --- for benchmarks
  /// Measured limits of memory and products on the machine that runs this backend. On
  /// the host: of `threads` threads (kernels/machine_limits.hpp). @throws as there.
  [[nodiscard]] virtual MachineLimits machine_limits(int threads);
  /// Fills `panels` panels of a matrix with values uniform in (-kRandomWidth / 2, kRandomWidth /
  /// 2), the same ones for equal arguments. Finished on return, or in stream order.
  virtual void fill_random(Stream& stream, const MatrixShape& shape, MatrixLayout layout,
                           std::int64_t panels, std::uint64_t seed, std::byte* data);
};

/// Width of a uniform distribution with a standard deviation of 0.02: 0.02 sqrt(12).
inline constexpr float kRandomWidth = 0.0692820F;

/// The backend that make_backend(name, ...) makes: `name`, or what auto stands for on this machine.
[[nodiscard]] std::string_view backend_of(std::string_view name, std::string_view kernel_target);

/// @param name  reference, cpu, cuda, or auto (cuda if built in and a device is there, else cpu;
/// reference where the CPU has no AVX2 with fma).
/// @throws UsageError for an unknown name or target, ResourceError if the machine cannot run it.
[[nodiscard]] std::unique_ptr<Backend> make_backend(std::string_view name,
                                                    const BackendOptions& options);

/// Versions of the libraries that a build with CUDA uses; empty where one is not built in.
struct AcceleratorVersions {
  std::string cuda;  ///< toolkit, and what the driver of this machine supports
  std::string nccl;
};
[[nodiscard]] AcceleratorVersions accelerator_versions();

}  // namespace gridmill
