#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "gridmill/base/ids.hpp"

namespace gridmill {

/// Keys and values of one tp rank's heads, for every layer and slot.
struct KvCacheShape {
  int layers = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int slots = 0;
  std::int64_t max_length = 0;
  /// 0: a slot keeps all its positions; else the last so many at least, and those of the pass at
  /// hand. Attention over them has no larger window.
  std::int32_t window = 0;
  /// Positions of all slots together, for a backend that allocates them as one pool
  /// (StateBudget::pooled): whole pages of kKvPagePositions are taken from it. 0 = every slot's
  /// longest sequence.
  std::int64_t pool_positions = 0;
};

/// First position of a sequence of `length` that a cache with `window` has to have.
[[nodiscard]] constexpr std::int64_t first_kept(std::int64_t length, std::int64_t window) {
  return window > 0 && length > window ? length - window : 0;
}

/// Positions that a pool hands out at a time.
inline constexpr std::int64_t kKvPagePositions = 64;

/// mLSTM state of one tp rank's heads, for every layer and slot: C [dqk, dv], n [dqk] and m, all
/// fp32.
struct MlstmStateShape {
  int layers = 0;
  int heads = 0;
  int qk_dim = 0;  ///< of one head
  int v_dim = 0;   ///< of one head
  int slots = 0;
};

/// State of recurrent layers of one shape on one tp rank, for every layer and slot: fp32 tensors of
/// fixed size.
struct RecurrentStateShape {
  int layers = 0;
  int slots = 0;
  /// State of linear_recurrence: S [dk, dv] of every head. 0 heads = none.
  int heads = 0;
  int key_width = 0;
  int value_width = 0;
  /// State of short_convolution: its last inputs, [taps - 1][channels], the oldest first.
  int tail_rows = 0;
  int tail_channels = 0;
  /// State of slstm: y, c, n and m, [4][H hd].
  int cell_width = 0;

  /// Where each begins in the floats of a layer, and how many these are.
  [[nodiscard]] std::size_t tail_offset() const {
    return static_cast<std::size_t>(heads) * static_cast<std::size_t>(key_width) *
           static_cast<std::size_t>(value_width);
  }
  [[nodiscard]] std::size_t cell_offset() const {
    return tail_offset() +
           static_cast<std::size_t>(tail_rows) * static_cast<std::size_t>(tail_channels);
  }
  [[nodiscard]] std::size_t layer_floats() const {
    return cell_offset() + 4 * static_cast<std::size_t>(cell_width);
  }
};

/// Per-slot memory of a recurrence or an attention, laid out as its backend likes. Slots are
/// independent.
class SequenceState {
 public:
  SequenceState() = default;
  SequenceState(const SequenceState&) = delete;
  SequenceState& operator=(const SequenceState&) = delete;
  virtual ~SequenceState() = default;
  /// Makes `slot` that of an empty sequence (recurrent state 0).
  virtual void reset(SlotId slot) = 0;
  /// Floats that save and load move for a sequence of `length` tokens.
  [[nodiscard]] virtual std::size_t saved_floats(std::int64_t length) const = 0;
  /// Canonical form, the same for every backend. Waits for the work that was submitted before.
  /// KV cache: [layer][key, value][position][kv head][head_dim], positions < length, with a window
  /// the last `window` of them. mLSTM: [layer][head] of C
  /// row-major [dqk][dv], n, m. Recurrent state: [layer] of S, the convolution's inputs, the cell.
  virtual void save(SlotId slot, std::int64_t length, std::span<float> out) = 0;
  virtual void load(SlotId slot, std::int64_t length, std::span<const float> in) = 0;
  /// Makes `to`, another slot, whatever it held, what `from` was after `length` tokens, to the bit;
  /// neither sees what the other does from then on. A KV cache without a window must hold at least
  /// `length` tokens; every other state must have consumed exactly so many. This one copies by way
  /// of save() and load().
  virtual void fork(SlotId from, SlotId to, std::int64_t length);
  /// Pages that slots hold, each counted once; 0 for a state that has none.
  [[nodiscard]] virtual std::int64_t pages_in_use() const { return 0; }
};

/// Distinct types, so that the wrong one cannot be passed.
class KvCache : public SequenceState {};
class MlstmState : public SequenceState {};
class RecurrentState : public SequenceState {};

}  // namespace gridmill
