#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/model/model.hpp"
#include "model/layers/head_detail.hpp"
#include "model/layers/workspace_detail.hpp"

namespace gridmill::model_detail {

/// What every layer of one pass sees.
struct Pass {
  ExecutionContext& context;
  Workspace& workspace;
  std::span<const TokenSpan> spans;
  DeviceMatrix x;  ///< residual stream [rows, D]
};

/// How far each slot has come, and the scratch memory of the model that feeds them.
class SlotMemory {
 public:
  SlotMemory(Backend& backend, int slots, std::int64_t longest)
      : workspace(backend), max_length(longest), positions(static_cast<std::size_t>(slots)) {}

  /// @throws UsageError for a slot that does not exist.
  void check_slot(SlotId slot) const;

  Workspace workspace;
  std::int64_t max_length;  ///< 0 = no limit
  std::vector<std::int32_t> positions;
};

/// BatchState over one kind of sequence memory (KvCache or MlstmState).
template <typename Cache>
class DecoderState final : public BatchState {
 public:
  DecoderState(Backend& backend, std::unique_ptr<Cache> cache, int slots, std::int64_t max_length)
      : memory_(backend, slots, max_length), cache_(std::move(cache)) {}

  [[nodiscard]] int slots() const override { return static_cast<int>(memory_.positions.size()); }
  [[nodiscard]] std::int32_t position(SlotId slot) const override {
    memory_.check_slot(slot);
    return memory_.positions[static_cast<std::size_t>(slot)];
  }
  void reset(SlotId slot) override {
    memory_.check_slot(slot);
    cache_->reset(slot);
    memory_.positions[static_cast<std::size_t>(slot)] = 0;
  }
  [[nodiscard]] std::vector<float> save(SlotId slot) override {
    const std::int32_t length = position(slot);
    std::vector<float> saved(cache_->saved_floats(length));
    cache_->save(slot, length, saved);
    return saved;
  }
  void load(SlotId slot, std::int32_t position, std::span<const float> saved) override {
    memory_.check_slot(slot);
    if (position < 0 || (memory_.max_length > 0 && position > memory_.max_length) ||
        saved.size() != cache_->saved_floats(position)) {
      throw UsageError("a saved state of " + std::to_string(saved.size()) +
                       " numbers does not fit a slot after " + std::to_string(position) +
                       " tokens; was it saved by the same model and tp?");
    }
    cache_->load(slot, position, saved);
    memory_.positions[static_cast<std::size_t>(slot)] = position;
  }

  [[nodiscard]] SlotMemory& memory() { return memory_; }
  [[nodiscard]] Cache& cache() { return *cache_; }
  /// Position-dependent constants of the model (rotary table); may be empty.
  Buffer constants;

 private:
  SlotMemory memory_;
  std::unique_ptr<Cache> cache_;
};

/// `state` as its own model made it. @throws UsageError if another family did.
template <typename Cache>
DecoderState<Cache>& state_of(BatchState& state) {
  auto* own = dynamic_cast<DecoderState<Cache>*>(&state);
  if (own == nullptr) throw UsageError("this state was made by a model of another family");
  return *own;
}

/// The part of a decoder that all families share.
struct DecoderPlan {
  std::int64_t vocab_size = 0;
  std::int64_t hidden_size = 0;
  UnitId first_layer = 0;  ///< layers follow each other; the head is the unit behind the last one
  int layers = 0;
  Head head;
};

/// Adds layer `layer` to the residual stream.
using LayerFunction = std::function<void(const Pass&, int layer, const UnitWeights&)>;

/// Embedding, layers, final norm and head, with the next unit prefetched while one computes.
/// Checks spans and ids first. Advances the positions of the slots.
void run_decoder(const DecoderPlan& plan, ExecutionContext& context, std::span<const RowSpan> spans,
                 SlotMemory& memory, ParameterSource& parameters, const HeadRequest& request,
                 const LayerFunction& layer);

}  // namespace gridmill::model_detail
