#pragma once

#include <cstddef>
#include <cstdint>

#include "gridmill/kernels/backend.hpp"

// Arguments of a target's kernels from the backend: plain data, no behaviour (see target.hpp).
namespace gridmill::cpu {

/// Outputs of a weight panel: 3 vectors of 16 lanes. Eight rows by three vectors is the register
/// tile (24 of 32 accumulators, three weight vectors, one broadcast); four vectors would leave room
/// for six rows only.
inline constexpr int kPanelOutputs = 48;
/// Rows of a block of packed inputs; the last block of a matrix has as many as are left.
inline constexpr int kBlockRows = 8;
/// Rows that go through a product together: their inputs stay in L2 (1 MiB) while weights stream
/// by, and their accumulators (48 KiB a panel) with them.
inline constexpr int kChunkRows = 256;
/// Positions of a page of the KV cache = keys of an attention block (docs/numerics.md, section 5).
inline constexpr int kPageKeys = 64;
/// Columns of a strip of the mLSTM state: see mlstm.hpp.
inline constexpr int kStripColumns = 32;
/// Tokens of one slot whose gates, keys and queries are prepared together.
inline constexpr int kMlstmTokens = 16;
/// Tokens of one slot whose keys and queries linear_recurrence prepares together.
inline constexpr int kRecurrenceTokens = 16;
/// Panels that the selection looks at together: 192 ids = 3 vocabulary blocks.
inline constexpr int kSelectPanels = 4;

/// One thread's part in an operation.
struct Worker {
  int index = 0;
  int count = 1;
  std::byte* scratch = nullptr;  ///< 64-byte aligned, as large as the operation asked for
};

/// Weights of one product.
struct PanelView {
  const PanelRun* runs = nullptr;
  std::int64_t run_count = 0;
  std::size_t panel_bytes = 0;
};

/// How the inputs of a product are cut into chains that join in a binary tree.
struct ChainView {
  int count = 1;            ///< 1, or a power of two up to 8
  std::int64_t inputs = 0;  ///< of a chain; even if count > 1
  int group = 0;            ///< with codes: inputs that share a scale; restarts at every chain
};

enum class Epilogue : std::uint8_t {
  plain,      ///< + bias, soft cap, + out if accumulate
  activated,  ///< act(+ bias), packed
  gated,      ///< act(gate + bias) * (up + bias), packed; panels alternate
};

struct ProductArgs {
  PackedRows x;
  PanelView weights;
  ChainView chains;
  Epilogue epilogue = Epilogue::plain;
  std::int64_t outputs = 0;  ///< columns of out: gated: F
  ConstDeviceVector bias;
  float soft_cap = 0;
  bool accumulate = false;
  Activation activation = Activation::identity;
  DeviceMatrix out;
  PackedRows packed_out;
};

struct PackArgs {
  const ConstDeviceMatrix* sources = nullptr;
  std::size_t source_count = 0;
  PackedRows out;
};

struct NormArgs {
  ConstDeviceMatrix x;
  Norm norm;
  const std::int64_t* rows = nullptr;  ///< nullptr: every row
  PackedRows packed_out;               ///< of norm_pack
  DeviceMatrix added_to;               ///< of norm_add; norm_rows: the result
};

struct ScaleAddArgs {
  float x_scale = 1;
  ConstDeviceMatrix y;
  float y_scale = 1;
  DeviceMatrix x;
};

struct JoinArgs {
  const float* parts = nullptr;
  int part_count = 1;
  ConstDeviceVector bias;
  bool accumulate = false;
  DeviceMatrix out;
};

struct EmbedArgs {
  PanelView table;
  MatrixLayout layout = MatrixLayout::rows;
  std::int64_t inputs = 0;
  std::int64_t first_id = 0;
  std::int64_t ids_held = 0;
  const TokenId* ids = nullptr;
  DeviceMatrix out;
};

/// A span and where its slot's pages are.
struct AttendSpan {
  TokenSpan span;
  std::byte* const* pages = nullptr;  ///< of the slot, by position / 64
};

struct AttendArgs {
  const AttendSpan* spans = nullptr;
  std::int64_t span_count = 0;
  Attention attention;
  DeviceMatrix qkv;
  std::size_t layer_offset = 0;  ///< of the layer inside a page
  std::size_t key_bytes = 0;     ///< of one kv head's keys in a page; as many of values follow
  std::size_t value_bytes = 0;
  PackedRows out;
};

struct MlstmArgs {
  const TokenSpan* spans = nullptr;
  std::int64_t span_count = 0;
  Mlstm mlstm;
  ConstDeviceMatrix inputs;
  float* state = nullptr;       ///< of slot 0 in this layer
  std::size_t slot_stride = 0;  ///< floats from slot to slot
  std::size_t head_stride = 0;  ///< floats from head to head
  PackedRows packed_out;        ///< data nullptr: unpacked
  DeviceMatrix out;
};

struct ConvolutionArgs {
  const TokenSpan* spans = nullptr;
  std::int64_t span_count = 0;
  ShortConvolution convolution;
  ConstDeviceMatrix x;
  float* state = nullptr;       ///< inputs of slot 0 in this layer
  std::size_t slot_stride = 0;  ///< floats from slot to slot
  DeviceMatrix out;
};

struct DecayGatesArgs {
  ConstDeviceMatrix x;
  ConstDeviceMatrix strength;
  DecayGates gates;
  DeviceMatrix out;
};

struct NormGroupsArgs {
  ConstDeviceMatrix x;
  Norm norm;
  int groups = 1;
  DeviceMatrix out;
};

struct RecurrenceArgs {
  const TokenSpan* spans = nullptr;
  std::int64_t span_count = 0;
  LinearRecurrence recurrence;
  RecurrenceInputs inputs;
  float* state = nullptr;       ///< S of head 0 of slot 0 in this layer
  std::size_t slot_stride = 0;  ///< floats from slot to slot
  DeviceMatrix out;
};

struct GatedNormArgs {
  ConstDeviceMatrix y;
  ConstDeviceMatrix z;
  GatedNorm gated;
  PackedRows out;
};

struct SlstmArgs {
  const TokenSpan* spans = nullptr;
  std::int64_t span_count = 0;
  Slstm cell;
  ConstDeviceMatrix inputs;
  float* state = nullptr;       ///< y of slot 0 in this layer
  std::size_t slot_stride = 0;  ///< floats from slot to slot
  DeviceMatrix out;
};

struct AffineArgs {
  ConstDeviceMatrix x;
  ConstDeviceVector weight;
  ConstDeviceVector bias;
  Activation activation = Activation::identity;
  DeviceMatrix out;
};

struct BlockDiagonalArgs {
  ConstDeviceMatrix x;
  const float* blocks = nullptr;
  std::int64_t groups = 1;
  DeviceMatrix out;
};

struct SkipGateArgs {
  ConstDeviceMatrix h;
  ConstDeviceVector skip;
  ConstDeviceMatrix a;
  ConstDeviceMatrix z;
  Activation activation = Activation::identity;
  PackedRows out;
};

struct RowDotsArgs {
  ConstDeviceMatrix x;
  const float* weights = nullptr;  ///< [outputs][inputs]
  const float* bias = nullptr;     ///< may be nullptr
  DeviceMatrix out;
};

/// One expert's weights and its rows among the packed ones.
struct ExpertView {
  PanelView weights{};
  ConstDeviceVector bias{};
  std::int64_t first = 0;  ///< a multiple of 8
  std::int64_t count = 0;
  std::int64_t block_inputs = 0;   ///< of a chain of a row-parallel matrix
  bool holds_first_block = false;  ///< of the whole matrix: its bias is added here
};

/// Rows of codes out of packed rows in bf16 (code_layout.hpp).
struct QuantizeArgs {
  PackedRows x;
  ChainView chains;
  const ExpertView* parts = nullptr;  ///< rows that are blocks by themselves
  std::int64_t part_count = 0;
  std::byte* out = nullptr;
};

struct GatherArgs {
  ConstDeviceMatrix x;
  const ExpertView* experts = nullptr;
  std::int64_t expert_count = 0;
  const std::int64_t* rows = nullptr;  ///< one a packed row
  PackedRows out;
};

struct ExpertsArgs {
  PackedRows x;
  const ExpertView* experts = nullptr;
  std::int64_t expert_count = 0;
  std::int64_t outputs = 0;  ///< gated: F
  int group = 0;             ///< with codes: inputs that share a scale
  ExpertGate gate{};
  PackedRows packed_out;
  // For experts_down.
  const std::int64_t* rows = nullptr;  ///< one a packed row
  const float* weights = nullptr;      ///< one a packed row
  std::int64_t block_count = 0;
  ExpertSums::Start start = ExpertSums::Start::zero;
  std::int64_t block_rows = 0;
  float* blocks = nullptr;  ///< [block_count][block_rows][outputs]
};

struct SelectArgs {
  PackedRows x;
  PanelView weights;
  ChainView chains;
  ConstDeviceVector bias;  ///< [ids], or empty
  float soft_cap = 0;
  std::int64_t ids = 0;       ///< held here
  std::int64_t first_id = 0;  ///< a multiple of 64
  const SelectRow* rows = nullptr;
  std::int64_t blocks = 0;  ///< of 64 ids
  std::int64_t blocks_of_group = 0;
  std::int64_t groups = 0;                  ///< here
  SelectPartial* block_partials = nullptr;  ///< [rows][blocks]
  SelectPartial* partials = nullptr;        ///< [rows][groups]
  DeviceMatrix kept;                        ///< SelectRow::kept
};

/// One row of KeptLogits.
struct KeptRowView {
  const float* logits = nullptr;
  std::int64_t ids = 0;
  std::int64_t first_id = 0;
  std::uint32_t* block_keys = nullptr;
};

/// Elementary functions, for the test that holds them to base/numerics.
enum class ElementaryFunction : std::uint8_t { exp, log, log1p, log_sigmoid, tanh };
struct ElementaryArgs {
  ElementaryFunction function = ElementaryFunction::exp;
  bool activation = false;  ///< apply `act` instead
  Activation act = Activation::identity;
  const float* x = nullptr;
  float* y = nullptr;
  std::int64_t count = 0;  ///< a multiple of 16
};

/// Operations whose weights are codes of one kind; their packed inputs are rows of codes.
struct CodedKernels {
  void (*quantize_rows)(const QuantizeArgs&, const Worker&) = nullptr;
  void (*product)(const ProductArgs&, const Worker&) = nullptr;
  void (*experts_gated)(const ExpertsArgs&, const Worker&) = nullptr;
  void (*experts_down)(const ExpertsArgs&, const Worker&) = nullptr;
  void (*select_blocks)(const SelectArgs&, const Worker&) = nullptr;
  std::int32_t (*limit_product)(std::int64_t steps) = nullptr;
};

/// The operations of one target in one compute dtype. Each does the part of worker `index` of
/// `count`, with the floating-point mode set by the caller.
struct KernelTable {
  const char* target = nullptr;
  void (*product)(const ProductArgs&, const Worker&) = nullptr;
  void (*pack_rows)(const PackArgs&, const Worker&) = nullptr;
  void (*norm_pack)(const NormArgs&, const Worker&) = nullptr;
  void (*norm_add)(const NormArgs&, const Worker&) = nullptr;
  void (*norm_rows)(const NormArgs&, const Worker&) = nullptr;
  void (*scale_add)(const ScaleAddArgs&, const Worker&) = nullptr;
  void (*join_partials)(const JoinArgs&, const Worker&) = nullptr;
  void (*embed)(const EmbedArgs&, const Worker&) = nullptr;
  void (*attend)(const AttendArgs&, const Worker&) = nullptr;
  void (*mlstm)(const MlstmArgs&, const Worker&) = nullptr;
  void (*short_convolution)(const ConvolutionArgs&, const Worker&) = nullptr;
  void (*decay_gates)(const DecayGatesArgs&, const Worker&) = nullptr;
  void (*norm_groups)(const NormGroupsArgs&, const Worker&) = nullptr;
  void (*linear_recurrence)(const RecurrenceArgs&, const Worker&) = nullptr;
  void (*gated_norm_pack)(const GatedNormArgs&, const Worker&) = nullptr;
  void (*slstm)(const SlstmArgs&, const Worker&) = nullptr;
  void (*channel_affine)(const AffineArgs&, const Worker&) = nullptr;
  void (*block_diagonal)(const BlockDiagonalArgs&, const Worker&) = nullptr;
  void (*skip_gate_pack)(const SkipGateArgs&, const Worker&) = nullptr;
  void (*row_dots)(const RowDotsArgs&, const Worker&) = nullptr;
  void (*gather_pack)(const GatherArgs&, const Worker&) = nullptr;
  void (*experts_gated)(const ExpertsArgs&, const Worker&) = nullptr;
  void (*experts_down)(const ExpertsArgs&, const Worker&) = nullptr;
  void (*select_blocks)(const SelectArgs&, const Worker&) = nullptr;  ///< fills block_partials
  void (*join_blocks)(const SelectArgs&, const Worker&) = nullptr;    ///< joins them to partials
  // The second stage, a row at a time (select_filter.hpp).
  void (*peak_row)(const KeptRowView&, float* max) = nullptr;
  void (*count_row)(const KeptRowView&, const CountPass&, std::uint64_t* weights,
                    std::uint32_t* counts) = nullptr;
  void (*draw_row)(const KeptRowView&, const FilterRow&, float temperature, const DrawKey&,
                   Drawn*) = nullptr;
  // With bf16 only; the machine's best, whatever the rest of the table is (dispatch.cpp).
  CodedKernels int8{};
  CodedKernels int4{};
  void (*elementary)(const ElementaryArgs&, const Worker&) = nullptr;
  /// y[i] = the pair product of x[i], w[i] (bf16 pairs) added to y[i]; for the start-up self-test.
  void (*pair_product)(const std::uint32_t* x, const std::uint32_t* w, float* y,
                       int count) = nullptr;
  // The machine's limits, for benchmarks (limits.hpp).
  float (*limit_read)(const float* data, std::int64_t count) = nullptr;
  void (*limit_update)(float* data, std::int64_t count) = nullptr;
  float (*limit_product)(std::int64_t steps) = nullptr;
};

namespace avx512bf16 {
extern const KernelTable kFp32Kernels;
extern const KernelTable kBf16Kernels;
}  // namespace avx512bf16
namespace avx512 {
extern const KernelTable kFp32Kernels;
extern const KernelTable kBf16Kernels;
}  // namespace avx512
namespace avx2 {
extern const KernelTable kFp32Kernels;
extern const KernelTable kBf16Kernels;
}  // namespace avx2
// Kernels for weights of codes.
namespace avx512vnni {
extern const CodedKernels kInt8Kernels;
extern const CodedKernels kInt4Kernels;
}  // namespace avx512vnni
namespace avx512 {
extern const CodedKernels kInt8Kernels;
extern const CodedKernels kInt4Kernels;
}  // namespace avx512
namespace avx2 {
extern const CodedKernels kInt8Kernels;
extern const CodedKernels kInt4Kernels;
}  // namespace avx2

}  // namespace gridmill::cpu
