#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "gridmill/model/model.hpp"
#include "gridmill/model/model_spec.hpp"
#include "model/layers/workspace.hpp"
#include "model/layout/tensor_parallel.hpp"

namespace gridmill::model_detail {

/// State of one block: layer `index` of group `group`. -1: the block has none.
struct StatePlace {
  int group = -1;
  int index = 0;
  /// State group of the earlier tokens of an mLSTM whose convolution reads them.
  int tail_group = -1;
  int tail_index = 0;
};

/// AttentionSpec::window in the form of the kernels; 0 = none.
[[nodiscard]] std::int32_t window_of(const AttentionSpec& spec);

/// Layers whose states have one shape, which a backend allocates together.
struct StateGroup {
  /// Shape of the state; `layers` counts its layers.
  std::variant<KvCacheShape, MlstmStateShape, RecurrentStateShape> shape;
};

/// The states of a model on one tp rank, from its description alone.
struct StatePlan {
  std::vector<StateGroup> groups;
  /// Places of every layer and block.
  std::vector<std::vector<StatePlace>> places;
};
/// @param extent  row: layers that differ in their windows alone share a group.
[[nodiscard]] StatePlan plan_states(const ModelSpec& spec, TensorParallel tp, KvExtent extent);
/// Extent that caches of a backend keep: devices have a pool of whole rows.
[[nodiscard]] KvExtent kv_extent_of(const Backend& backend);

/// Bytes of one slot after `length` tokens.
[[nodiscard]] std::size_t state_bytes(const StatePlan& plan, std::int64_t length,
                                      DType compute_dtype, KvExtent extent);

/// A rotary table [positions][2][width / 2] in a backend's memory, and that of rows beyond the
/// original length (longrope; no data: none).
struct RotaryTable {
  Buffer memory;
  Buffer long_memory;
  ConstDeviceMatrix table;
  ConstDeviceMatrix long_table;
};

/// How far each slot has come, its states, and the scratch memory of the model that feeds them.
class SequenceStates final : public BatchState {
 public:
  /// @param max_length  0 = no limit.
  SequenceStates(Backend& backend, const StatePlan& plan, int slots, std::int64_t max_length,
                 std::int64_t pool_positions);

  [[nodiscard]] int slots() const override { return static_cast<int>(positions.size()); }
  [[nodiscard]] std::int32_t position(SlotId slot) const override;
  void reset(SlotId slot) override;
  [[nodiscard]] std::vector<float> save(SlotId slot) override;
  void load(SlotId slot, std::int32_t position, std::span<const float> saved) override;
  void fork(SlotId from, SlotId to, std::int32_t position) override;
  [[nodiscard]] bool forks_anywhere() const override { return forks_anywhere_; }
  [[nodiscard]] std::int64_t pages_in_use() const override;

  /// Whether a model with these states, of whatever tp, can have made this.
  [[nodiscard]] bool fits(const StatePlan& plan) const;
  [[nodiscard]] KvCache& kv_cache(int group);
  [[nodiscard]] MlstmState& mlstm(int group);
  [[nodiscard]] RecurrentState& recurrent(int group);
  /// @throws UsageError for a slot that does not exist.
  void check_slot(SlotId slot) const;

  Workspace workspace;
  std::int64_t max_length;  ///< 0 = no limit
  std::vector<std::int32_t> positions;
  /// One a rotary table of the model.
  std::vector<RotaryTable> rotary;

 private:
  [[nodiscard]] std::size_t saved_floats(std::int64_t length) const;

  std::vector<std::unique_ptr<SequenceState>> groups_;
  bool forks_anywhere_ = false;
};

}  // namespace gridmill::model_detail
