#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/model/model.hpp"

namespace gridmill::test {

/// What a pass takes, on a device that reads weights once a pass.
struct PassCosts {
  double pass_ms = 0;      ///< whatever is in it
  double token_ms = 0;     ///< fed
  double position_ms = 0;  ///< in the KV cache of a fed row
};

/// What the passes of a ScriptedModel took.
struct PassLog {
  double ms = 0;
  std::int64_t spans = 0;  ///< of all passes together
};

/// Computes nothing: row `prompt_index` ends with kEnd when it has the length that a script gives
/// it, and time passes as `costs` says. For schedules of real size.
class ScriptedModel final : public Model {
 public:
  static constexpr TokenId kEnd = 1;
  ScriptedModel(std::vector<std::int64_t> lengths, const PassCosts& costs, PassLog& log)
      : lengths_(std::move(lengths)), costs_(costs), log_(log) {
    info_.family = "scripted";
    info_.vocab_size = 2;
  }
  [[nodiscard]] const ModelInfo& info() const override { return info_; }
  [[nodiscard]] ModelParameters parameters(int /*tp_size*/, int /*tp_rank*/) const override {
    return {};
  }
  [[nodiscard]] std::size_t state_bytes_per_slot(int /*tp_size*/, std::int64_t /*max_length*/,
                                                 DType /*compute_dtype*/,
                                                 KvExtent /*extent*/) const override {
    return 1;
  }
  [[nodiscard]] std::unique_ptr<BatchState> make_pooled_state(
      ExecutionContext& /*context*/, int slots, std::int64_t /*max_length*/,
      std::int64_t /*pool_positions*/) const override {
    return std::make_unique<Positions>(slots);
  }
  void forward(ExecutionContext& /*context*/, std::span<const RowSpan> spans, BatchState& state,
               ParameterSource& /*parameters*/, const HeadRequest& head) const override {
    log_.ms += costs_.pass_ms;
    log_.spans += static_cast<std::int64_t>(spans.size());
    for (const RowSpan& span : spans) {
      const auto count = static_cast<std::int32_t>(span.tokens.size());
      if (span.position != state.position(span.slot)) throw InternalError("a span out of place");
      state.load(span.slot, span.position + count, {});
      log_.ms += costs_.token_ms * count + costs_.position_ms * (span.position + count);
    }
    for (const SelectRow& row : head.rows) {
      const std::int64_t length = std::int64_t{row.plan.key.position} + 1;
      head.choices->push_back(
          {.id = length >= lengths_.at(row.plan.key.prompt) ? kEnd : TokenId{0}});
    }
  }

 private:
  class Positions final : public BatchState {
   public:
    explicit Positions(int slots) : positions_(static_cast<std::size_t>(slots)) {}
    [[nodiscard]] int slots() const override { return static_cast<int>(positions_.size()); }
    [[nodiscard]] std::int32_t position(SlotId slot) const override {
      return positions_.at(static_cast<std::size_t>(slot));
    }
    void reset(SlotId slot) override { positions_.at(static_cast<std::size_t>(slot)) = 0; }
    [[nodiscard]] std::vector<float> save(SlotId /*slot*/) override { return {}; }
    void load(SlotId slot, std::int32_t position, std::span<const float> /*saved*/) override {
      positions_.at(static_cast<std::size_t>(slot)) = position;
    }

   private:
    std::vector<std::int32_t> positions_;
  };

  ModelInfo info_;
  std::vector<std::int64_t> lengths_;
  PassCosts costs_;
  PassLog& log_;
};

}  // namespace gridmill::test
