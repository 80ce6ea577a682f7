#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gridmill/base/device.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/ids.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/base/tensor.hpp"
#include "gridmill/kernels/backend.hpp"
#include "gridmill/params/parameter_source.hpp"
#include "gridmill/params/parameter_spec.hpp"

namespace gridmill {

/// Whether a token was given in the prefix or generated (also when a resumed row replays it).
enum class Origin : std::uint8_t { given, generated };
/// Which rows of a span go through the head.
enum class LogitsWanted : std::uint8_t { none, last, all };

/// Consecutive tokens of one slot, fed in one pass. `position` must be the number of tokens the
/// slot has consumed.
struct RowSpan {
  SlotId slot = 0;
  std::int32_t position = 0;
  std::span<const TokenId> tokens;
  Origin origin = Origin::given;
  LogitsWanted want = LogitsWanted::last;
  /// Tokens that the row may have in the end. Models whose rotation depends on a row's length
  /// (longrope) go by it, so it is the same in every span of a row; 0: not beyond their original
  /// length.
  std::int64_t allowed_length = 0;
};

/// Operations on the wanted rows, in the order of spans and tokens. At least one of `choices` and
/// `logits` is set, unless no row is wanted.
struct HeadRequest {
  std::span<const SelectRow> rows = {};    ///< one a wanted row, for `choices`
  std::vector<Choice>* choices = nullptr;  ///< selected tokens, equal on every tp rank
  Tensor<float, 2>* logits =
      nullptr;  ///< [wanted rows, V] after the soft cap, whole on every tp rank
};

/// Per-slot memory of one model on one rank: KV cache or (C, n, m).
class BatchState {
 public:
  BatchState() = default;
  BatchState(const BatchState&) = delete;
  BatchState& operator=(const BatchState&) = delete;
  virtual ~BatchState() = default;
  [[nodiscard]] virtual int slots() const = 0;
  /// Tokens that `slot` has consumed.
  [[nodiscard]] virtual std::int32_t position(SlotId slot) const = 0;
  /// Makes `slot` an empty sequence.
  virtual void reset(SlotId slot) = 0;
  /// Canonical fp32 form of a slot (kernels/state.hpp), of this tp rank's heads.
  [[nodiscard]] virtual std::vector<float> save(SlotId slot) = 0;
  /// @param position  tokens that the saved state has consumed.
  virtual void load(SlotId slot, std::int32_t position, std::span<const float> saved) = 0;
  /// Makes `to`, whatever it held, what `from` was after `position` tokens (SequenceState::fork).
  /// @param to  another slot than `from`: a slot does not go back to an earlier position.
  /// @param position  that of `from`, or less if forks_anywhere().
  /// @throws UsageError for the same slot or any other position.
  virtual void fork(SlotId from, SlotId to, std::int32_t position) {
    check_fork(from, to, position);
    load(to, position, save(from));
  }
  /// Whether a slot can be forked at every position it has passed; else only where it is.
  [[nodiscard]] virtual bool forks_anywhere() const { return false; }
  /// Pages of KV caches that slots hold, each counted once.
  [[nodiscard]] virtual std::int64_t pages_in_use() const { return 0; }

 protected:
  void check_fork(SlotId from, SlotId to, std::int32_t position) const {
    if (from == to) {
      throw UsageError(
          fmt::format("slot {} cannot be forked onto itself; reset it or load into it", from));
    }
    const std::int32_t at = this->position(from);
    if (position == at || (forks_anywhere() && position >= 0 && position < at)) return;
    throw UsageError(fmt::format("slot {} has consumed {} tokens and cannot be forked after {}",
                                 from, at, position));
  }
};

/// Where a model runs: one rank's backend, stream and tp group. References must outlive their
/// users.
struct ExecutionContext {
  Backend& backend;
  Stream& stream;
  Exchange& tp;  ///< group of the tp ranks that share prompts
};

/// Properties of a model of any family, for callers.
struct ModelInfo {
  std::string family;  ///< llama, xlstm, ...
  std::int64_t vocab_size = 0;
  std::int64_t model_limit =
      0;  ///< longest supported sequence; 0 = no limit of its own (recurrent)
  std::vector<TokenId> eod_ids;  ///< of generation_config, else config
  TokenId bos_id = -1;           ///< -1 = none
  bool recurrent = false;        ///< state of fixed size
  /// Rows that may become longer than this rotate by factors of their own (longrope), so their
  /// states differ from those of other rows from the first token on; 0 = no such length.
  std::int64_t original_length = 0;
};

/// Extent that a KV cache keeps for layers with a window: the window, or the row (device pool).
enum class KvExtent : std::uint8_t { window, row };

/// A compute graph; const, all that changes is in BatchState.
class Model {
 public:
  Model() = default;
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  virtual ~Model() = default;

  [[nodiscard]] virtual const ModelInfo& info() const = 0;
  /// Parameters of rank `tp_rank` of `tp_size`. Pure arithmetic.
  /// @throws UsageError if this model cannot be split `tp_size` ways.
  [[nodiscard]] virtual ModelParameters parameters(int tp_size, int tp_rank) const = 0;
  /// Memory for `slots` sequences of at most `max_length` tokens (of any length if the model is
  /// recurrent) on this rank. @throws ResourceError
  /// @param pool_positions  room of all slots together (KvCacheShape); 0 = each has its own.
  [[nodiscard]] virtual std::unique_ptr<BatchState> make_pooled_state(
      ExecutionContext& context, int slots, std::int64_t max_length,
      std::int64_t pool_positions) const = 0;
  [[nodiscard]] std::unique_ptr<BatchState> make_state(ExecutionContext& context, int slots,
                                                       std::int64_t max_length) const {
    return make_pooled_state(context, slots, max_length, 0);
  }
  /// Bytes that one slot of `max_length` tokens takes on one of `tp_size` ranks.
  [[nodiscard]] virtual std::size_t state_bytes_per_slot(int tp_size, std::int64_t max_length,
                                                         DType compute_dtype,
                                                         KvExtent extent) const = 0;
  [[nodiscard]] std::size_t state_bytes_per_slot(int tp_size, std::int64_t max_length,
                                                 DType compute_dtype) const {
    return state_bytes_per_slot(tp_size, max_length, compute_dtype, KvExtent::window);
  }
  /// Feeds the spans (each slot at most once), in one pass over the layers. Collective over the tp
  /// group, and over the fsdp group when units are gathered: then a rank without work calls it with
  /// no spans. Finished on return when `head` requests rows, else possibly still running on the
  /// stream.
  /// @throws UsageError for ids outside [0, V).
  virtual void forward(ExecutionContext& context, std::span<const RowSpan> spans, BatchState& state,
                       ParameterSource& parameters, const HeadRequest& head) const = 0;
};

/// @param config  gridmill's own model configuration (docs/models.md): {"family": "llama" | "xlstm"
/// | ..., ...}, as convert stores it in the checkpoint.
/// @throws FormatError naming an unknown family ("unsupported") or a missing or wrong field.
[[nodiscard]] std::unique_ptr<Model> make_model(const Json& config);

}  // namespace gridmill
