#include "model/states.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "gridmill/base/check.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill::model_detail {

namespace {

bool same_shape(const KvCacheShape& a, const KvCacheShape& b) {
  return a.kv_heads == b.kv_heads && a.head_dim == b.head_dim && a.window == b.window;
}
bool same_shape(const MlstmStateShape& a, const MlstmStateShape& b) {
  return a.heads == b.heads && a.qk_dim == b.qk_dim && a.v_dim == b.v_dim;
}
bool same_shape(const RecurrentStateShape& a, const RecurrentStateShape& b) {
  return a.heads == b.heads && a.key_width == b.key_width && a.value_width == b.value_width &&
         a.tail_rows == b.tail_rows && a.tail_channels == b.tail_channels &&
         a.cell_width == b.cell_width;
}

RecurrentStateShape shape_of(const LinearRecurrenceSpec& spec, TensorParallel tp) {
  const std::int64_t heads = head_slice(tp, spec.heads).count;
  const std::int64_t keys = key_head_slice(tp, spec.key_heads).count * spec.key_width;
  return {.heads = static_cast<int>(heads),
          .key_width = static_cast<int>(spec.key_width),
          .value_width = static_cast<int>(spec.value_width),
          .tail_rows = static_cast<int>(spec.conv_kernel - 1),
          .tail_channels = static_cast<int>(2 * keys + heads * spec.value_width)};
}

/// Puts a layer into the group of its shape.
template <typename Shape>
StatePlace place(std::vector<StateGroup>& groups, const Shape& shape) {
  auto found = std::find_if(groups.begin(), groups.end(), [&](const StateGroup& group) {
    const Shape* other = std::get_if<Shape>(&group.shape);
    return other != nullptr && same_shape(*other, shape);
  });
  if (found == groups.end()) found = groups.insert(groups.end(), {.shape = shape});
  return {.group = static_cast<int>(found - groups.begin()),
          .index = std::get<Shape>(found->shape).layers++};
}

StatePlace place_of(std::vector<StateGroup>& groups, const BlockSpec& block,
                    std::int64_t hidden_size, TensorParallel tp, KvExtent extent) {
  if (const auto* attention = std::get_if<AttentionSpec>(&block.mixer)) {
    return place(
        groups,
        KvCacheShape{.kv_heads = static_cast<int>(kv_head_slice(tp, attention->kv_heads).count),
                     .head_dim = static_cast<int>(attention->head_width),
                     .window = extent == KvExtent::window ? window_of(*attention) : 0});
  }
  if (const auto* mlstm = std::get_if<MlstmSpec>(&block.mixer)) {
    StatePlace found =
        place(groups, MlstmStateShape{.heads = static_cast<int>(head_slice(tp, mlstm->heads).count),
                                      .qk_dim = static_cast<int>(mlstm->qk_size / mlstm->heads),
                                      .v_dim = static_cast<int>(mlstm->v_size / mlstm->heads)});
    if (mlstm->older && mlstm->older->history) {
      const StatePlace tail = place(
          groups, RecurrentStateShape{.tail_rows = static_cast<int>(mlstm->older->conv_kernel - 1),
                                      .tail_channels = static_cast<int>(mlstm->v_size)});
      found.tail_group = tail.group;
      found.tail_index = tail.index;
    }
    return found;
  }
  if (const auto* recurrence = std::get_if<LinearRecurrenceSpec>(&block.mixer)) {
    return place(groups, shape_of(*recurrence, tp));
  }
  if (const auto* slstm = std::get_if<SlstmSpec>(&block.mixer)) {
    const bool convolved = slstm->conv_kernel > 0;
    return place(groups, RecurrentStateShape{
                             .tail_rows = convolved ? static_cast<int>(slstm->conv_kernel - 1) : 0,
                             .tail_channels = convolved ? static_cast<int>(hidden_size) : 0,
                             .cell_width = static_cast<int>(hidden_size)});
  }
  return {};
}

}  // namespace

KvExtent kv_extent_of(const Backend& backend) {
  return backend.host_memory() ? KvExtent::window : KvExtent::row;
}

StatePlan plan_states(const ModelSpec& spec, TensorParallel tp, KvExtent extent) {
  StatePlan plan;
  for (const LayerSpec& layer : spec.layers) {
    std::vector<StatePlace>& places = plan.places.emplace_back();
    for (const BlockSpec& block : layer.blocks) {
      places.push_back(place_of(plan.groups, block, spec.hidden_size, tp, extent));
    }
  }
  return plan;
}

std::int32_t window_of(const AttentionSpec& spec) {
  // A window beyond every position is none.
  constexpr std::int64_t kNone = std::numeric_limits<std::int32_t>::max();
  const std::int64_t window = spec.window.value_or(kNone);
  return window < kNone ? static_cast<std::int32_t>(window) : 0;
}

std::size_t state_bytes(const StatePlan& plan, std::int64_t length, DType compute_dtype,
                        KvExtent extent) {
  std::size_t bytes = 0;
  for (const StateGroup& group : plan.groups) {
    if (const auto* kv = std::get_if<KvCacheShape>(&group.shape)) {
      std::int64_t positions = length;
      if (kv->window > 0 && extent == KvExtent::window) {
        // Whole pages, of which the first and the last are in part behind or before the window.
        constexpr std::int64_t kPage = kKvPagePositions;
        positions = std::min(length, (kv->window / kPage + 2) * kPage);
      }
      bytes += static_cast<std::size_t>(2 * positions * kv->layers * kv->kv_heads * kv->head_dim) *
               size_of(compute_dtype);
    } else if (const auto* mlstm = std::get_if<MlstmStateShape>(&group.shape)) {
      const std::int64_t numbers =
          std::int64_t{mlstm->qk_dim} * mlstm->v_dim + mlstm->qk_dim + 1;  // C, n and m of a head
      bytes += static_cast<std::size_t>(numbers * mlstm->heads * mlstm->layers) * sizeof(float);
    } else {
      const auto& recurrent = std::get<RecurrentStateShape>(group.shape);
      bytes +=
          static_cast<std::size_t>(recurrent.layers) * recurrent.layer_floats() * sizeof(float);
    }
  }
  return bytes;
}

SequenceStates::SequenceStates(Backend& backend, const StatePlan& plan, int slots,
                               std::int64_t longest, std::int64_t pool_positions)
    : workspace(backend), max_length(longest), positions(static_cast<std::size_t>(slots)) {
  for (const StateGroup& group : plan.groups) {
    if (const auto* kv = std::get_if<KvCacheShape>(&group.shape)) {
      KvCacheShape shape = *kv;
      shape.slots = slots;
      shape.max_length = max_length;
      shape.pool_positions = pool_positions;
      groups_.push_back(backend.make_kv_cache(shape));
    } else if (const auto* mlstm = std::get_if<MlstmStateShape>(&group.shape)) {
      MlstmStateShape shape = *mlstm;
      shape.slots = slots;
      groups_.push_back(backend.make_mlstm_state(shape));
    } else {
      RecurrentStateShape shape = std::get<RecurrentStateShape>(group.shape);
      shape.slots = slots;
      groups_.push_back(backend.make_recurrent_state(shape));
    }
  }
  // A recurrent state is where it is, and a cache with a window has given its first pages back.
  forks_anywhere_ =
      std::all_of(plan.groups.begin(), plan.groups.end(), [](const StateGroup& group) {
        const auto* kv = std::get_if<KvCacheShape>(&group.shape);
        return kv != nullptr && kv->window == 0;
      });
}

void SequenceStates::check_slot(SlotId slot) const {
  if (slot < 0 || static_cast<std::size_t>(slot) >= positions.size()) {
    throw UsageError(fmt::format("slot {} does not exist; there are {}", slot, positions.size()));
  }
}

std::int32_t SequenceStates::position(SlotId slot) const {
  check_slot(slot);
  return positions[static_cast<std::size_t>(slot)];
}

void SequenceStates::reset(SlotId slot) {
  check_slot(slot);
  for (const auto& group : groups_) group->reset(slot);
  positions[static_cast<std::size_t>(slot)] = 0;
}

std::size_t SequenceStates::saved_floats(std::int64_t length) const {
  std::size_t floats = 0;
  for (const auto& group : groups_) floats += group->saved_floats(length);
  return floats;
}

std::vector<float> SequenceStates::save(SlotId slot) {
  const std::int32_t length = position(slot);
  std::vector<float> saved(saved_floats(length));
  std::span<float> left = saved;
  for (const auto& group : groups_) {
    const std::size_t floats = group->saved_floats(length);
    group->save(slot, length, left.first(floats));
    left = left.subspan(floats);
  }
  return saved;
}

void SequenceStates::load(SlotId slot, std::int32_t position, std::span<const float> saved) {
  check_slot(slot);
  if (position < 0 || (max_length > 0 && position > max_length) ||
      saved.size() != saved_floats(position)) {
    throw UsageError("a saved state of " + std::to_string(saved.size()) +
                     " numbers does not fit a slot after " + std::to_string(position) +
                     " tokens; was it saved by the same model and tp?");
  }
  for (const auto& group : groups_) {
    const std::size_t floats = group->saved_floats(position);
    group->load(slot, position, saved.first(floats));
    saved = saved.subspan(floats);
  }
  positions[static_cast<std::size_t>(slot)] = position;
}

void SequenceStates::fork(SlotId from, SlotId to, std::int32_t position) {
  check_slot(from);
  check_slot(to);
  check_fork(from, to, position);
  for (const auto& group : groups_) group->fork(from, to, position);
  positions[static_cast<std::size_t>(to)] = position;
}

std::int64_t SequenceStates::pages_in_use() const {
  std::int64_t pages = 0;
  for (const auto& group : groups_) pages += group->pages_in_use();
  return pages;
}

bool SequenceStates::fits(const StatePlan& plan) const {
  return std::equal(groups_.begin(), groups_.end(), plan.groups.begin(), plan.groups.end(),
                    [](const std::unique_ptr<SequenceState>& state, const StateGroup& group) {
                      if (std::holds_alternative<KvCacheShape>(group.shape)) {
                        return dynamic_cast<const KvCache*>(state.get()) != nullptr;
                      }
                      if (std::holds_alternative<MlstmStateShape>(group.shape)) {
                        return dynamic_cast<const MlstmState*>(state.get()) != nullptr;
                      }
                      return dynamic_cast<const RecurrentState*>(state.get()) != nullptr;
                    });
}

KvCache& SequenceStates::kv_cache(int group) {
  auto* cache = dynamic_cast<KvCache*>(groups_.at(static_cast<std::size_t>(group)).get());
  GRIDMILL_ASSERT(cache != nullptr, "this state holds no keys and values");
  return *cache;
}

MlstmState& SequenceStates::mlstm(int group) {
  auto* state = dynamic_cast<MlstmState*>(groups_.at(static_cast<std::size_t>(group)).get());
  GRIDMILL_ASSERT(state != nullptr, "this state holds no mLSTM");
  return *state;
}

RecurrentState& SequenceStates::recurrent(int group) {
  auto* state = dynamic_cast<RecurrentState*>(groups_.at(static_cast<std::size_t>(group)).get());
  GRIDMILL_ASSERT(state != nullptr, "this state holds no recurrence");
  return *state;
}

}  // namespace gridmill::model_detail
