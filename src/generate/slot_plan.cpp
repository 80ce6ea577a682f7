#include "gridmill/generate/slot_plan.hpp"

#include <algorithm>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

namespace {

/// Prefixes beyond which finding one takes longer than it saves, with short prompts.
constexpr int kMostPrefixes = 64;
/// Starts of the longest length that fit a device's pool beside the rows.
constexpr int kPrefixesOfADevice = 8;
/// Starts if the available memory is unknown.
constexpr int kPrefixesInUnknownMemory = 8;

std::int64_t whole_pages(std::int64_t positions) {
  return positions / kKvPagePositions * kKvPagePositions;
}

/// How the bytes of a sequence grow.
class SequenceBytes {
 public:
  explicit SequenceBytes(const SequenceNeeds& needs)
      : needs_(needs),
        rate_(static_cast<double>(std::max<std::size_t>(needs.bytes_per_slot, 1) -
                                  needs.fixed_bytes) /
              static_cast<double>(needs.max_length)) {}
  [[nodiscard]] double at(std::int64_t length) const {
    if (needs_.bytes_at) return static_cast<double>(needs_.bytes_at(length));
    return static_cast<double>(needs_.fixed_bytes) + rate_ * static_cast<double>(length);
  }
  /// Bytes of a position of a short sequence; those of long ones take no more.
  [[nodiscard]] double of_position() const { return needs_.bytes_at ? at(1) - at(0) : rate_; }
  /// Positions that `slots` sequences can have together in `bytes`, for any division among them.
  [[nodiscard]] std::int64_t positions(double bytes, int slots, std::int64_t longest) const {
    const double fixed = at(0) * slots;
    auto most =
        static_cast<std::int64_t>(std::max(0.0, bytes - fixed) / std::max(of_position(), 1e-9));
    if (needs_.bytes_at) {
      // Windows make long sequences cheaper, so that equal lengths take the most memory.
      std::int64_t low = 0;
      std::int64_t high = longest;
      while (low < high) {
        const std::int64_t length = (low + high + 1) / 2;
        if (at(length) * slots <= bytes) {
          low = length;
        } else {
          high = length - 1;
        }
      }
      most = std::max(most, low * slots);
    }
    return whole_pages(most);
  }

 private:
  const SequenceNeeds& needs_;
  double rate_;
};

/// Limits of kept common starts.
struct PrefixPlan {
  int count = 0;
  std::int64_t positions = 0;
  std::uint64_t reserved_bytes = 0;  ///< for what a slot takes whatever its length
};

/// @param slot_bytes  that a slot takes from the beginning.
PrefixPlan plan_prefixes(const StateBudget& budget, const SequenceNeeds& needs,
                         std::uint64_t slot_bytes) {
  if (needs.prefix_memory == 0) return {};
  PrefixPlan plan{.count = kMostPrefixes};
  if (slot_bytes > 0) {
    const std::uint64_t unknown = kPrefixesInUnknownMemory * slot_bytes;
    const std::uint64_t most = budget.known ? budget.bytes / 2 : unknown;
    const std::uint64_t wanted =
        needs.prefix_memory.value_or(budget.known ? budget.bytes / 8 : unknown);
    plan.count = static_cast<int>(
        std::min<std::uint64_t>(kMostPrefixes, std::min(wanted, most) / slot_bytes));
    plan.reserved_bytes = static_cast<std::uint64_t>(plan.count) * slot_bytes;
  }
  if (needs.prefix_memory && budget.pooled && !needs.fixed_size) {
    const std::uint64_t left = *needs.prefix_memory - plan.reserved_bytes;
    plan.positions = whole_pages(
        static_cast<std::int64_t>(static_cast<double>(left) / SequenceBytes(needs).of_position()));
    if (plan.positions == 0) return {};
  }
  return plan;
}

SlotPlan with_prefixes(SlotPlan plan, const PrefixPlan& prefixes) {
  plan.prefixes = prefixes.count;
  plan.prefix_positions = prefixes.positions;
  return plan;
}

}  // namespace

SlotPlan plan_slots(const StateBudget& budget, const SequenceNeeds& needs) {
  const bool pooled = budget.pooled && !needs.fixed_size;
  const bool asked = needs.slots > 0;
  const int wanted = asked ? needs.slots : budget.most_slots;
  const std::uint64_t per_slot = std::max<std::size_t>(needs.bytes_per_slot, 1);
  PrefixPlan prefixes = plan_prefixes(budget, needs, pooled ? needs.fixed_bytes : per_slot);
  // On the host pages come when they are touched: what was asked for is taken.
  const bool on_host = !budget.pooled || budget.on_demand;
  if (!budget.known || (asked && on_host && !pooled)) {
    return with_prefixes({.slots = wanted}, prefixes);
  }
  const std::uint64_t whole_fit = budget.bytes / per_slot;
  const auto mib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  if (whole_fit == 0 && !(asked && on_host)) {
    throw ResourceError(fmt::format(
        "not enough memory: one sequence needs {:.1f} MiB a rank and a rank may take {:.1f} MiB; "
        "lower --max-length, use fewer ranks a node, or raise --tp",
        mib(per_slot), mib(budget.bytes)));
  }
  if (budget.bytes < prefixes.reserved_bytes + per_slot) prefixes = {};
  const std::uint64_t for_slots = budget.bytes - prefixes.reserved_bytes;
  if (!pooled) {
    const std::uint64_t fit = for_slots / per_slot;
    if (asked && fit < static_cast<std::uint64_t>(wanted)) {
      throw ResourceError(fmt::format(
          "not enough memory: --slots {} need {:.1f} MiB a rank and a rank may take {:.1f} MiB, "
          "enough for {}",
          wanted, mib(per_slot * static_cast<std::uint64_t>(wanted)), mib(for_slots), fit));
    }
    return with_prefixes({.slots = static_cast<int>(std::min<std::uint64_t>(fit, wanted))},
                         prefixes);
  }
  // Whole pages; a row of the longest length has to fit. States of fixed size are allocated for
  // every slot, whatever the pool has room for.
  const std::int64_t longest = whole_pages(needs.max_length + kKvPagePositions - 1);
  const SequenceBytes bytes(needs);
  int slots = wanted;
  std::int64_t room = bytes.positions(static_cast<double>(for_slots), slots, longest);
  if (room < longest && asked && on_host) room = longest;
  while (room < longest && needs.bytes_at && slots > 1) {
    slots /= 2;
    room = bytes.positions(static_cast<double>(for_slots), slots, longest);
  }
  if (room < longest) {
    throw ResourceError(fmt::format(
        "not enough memory: a sequence of {} tokens needs {:.1f} MiB a rank and a rank may take "
        "{:.1f} MiB; lower --max-length, use fewer ranks a device, or raise --tp",
        longest, bytes.at(longest) / (1 << 20), mib(budget.bytes)));
  }
  // Kept starts fit beside rows that all have the longest length; a device takes its pool at
  // once.
  const int kept = budget.on_demand ? prefixes.count : std::min(prefixes.count, kPrefixesOfADevice);
  return with_prefixes({.slots = slots,
                        .pool_positions = std::min(room, longest * (slots + kept)),
                        .longest = longest},
                       prefixes);
}

std::uint64_t workspace_bytes(const ModelParameters& parameters, int tp_size, std::int64_t rows) {
  // A layer keeps less than twice its outputs and three times its inputs in fp32, with what buffers
  // grow beyond their need: tests/emulation/workspace_test.cpp measures every family. Only mLSTM
  // heads of less than 32 queries, which are padded, may take some MiB more.
  const auto row_numbers = [](const UnitSpec& unit, std::int64_t per_output) {
    std::int64_t numbers = 0;
    for (const MatrixSpec& matrix : unit.matrices) {
      if (matrix.layout != MatrixLayout::panels) continue;
      numbers += per_output * matrix.shape.outputs + 3 * matrix.shape.inputs;
    }
    // Not everything is a product: convolutions, block-diagonal products and skips of older layers.
    for (const VectorSpec& vector : unit.vectors) {
      for (const VectorPart& part : vector.parts) numbers += part.elements.count;
    }
    return numbers;
  };
  std::int64_t layer = 0;
  std::int64_t parts = 0;  // of a row-parallel product, of all ranks
  for (std::size_t unit = 0; unit + 1 < parameters.units.size(); ++unit) {
    layer = std::max(layer, row_numbers(parameters.units[unit], 2));
    for (const MatrixSpec& matrix : parameters.units[unit].matrices) {
      if (tp_size == 1 || !matrix.shape.row_parallel) continue;
      parts = std::max(parts, (tp_size + 1) * matrix.shape.outputs);
    }
  }
  // Partial selections of this rank and of all, and the logits for a selection and to hand out.
  constexpr auto kPartials = std::int64_t{2} * kVocabularyGroups *
                             static_cast<std::int64_t>(sizeof(SelectPartial) / sizeof(float));
  const UnitSpec& head = parameters.units.back();
  const std::int64_t numbers =
      rows * (layer + parts + parts / 4 + row_numbers(head, 0) + kPartials) +
      std::min(rows, kLogitRows) * (row_numbers(head, 3) - row_numbers(head, 0));
  return static_cast<std::uint64_t>(numbers) * sizeof(float);
}

std::uint64_t host_workspace_bytes(const ModelParameters& parameters, const Backend& backend,
                                   int tp_size, std::int64_t rows, std::int64_t logit_rows,
                                   double expert_share) {
  const auto packed = [&backend](std::int64_t count, std::int64_t inputs) {
    return static_cast<double>(backend.packed_bytes(count, inputs));
  };
  const auto floats = [rows](std::int64_t columns) {
    return static_cast<double>(rows * columns) * sizeof(float);
  };
  double layer = 0;  // layers use the same buffers
  double parts = 0;  // of a row-parallel product, of all ranks
  for (std::size_t unit = 0; unit + 1 < parameters.units.size(); ++unit) {
    double bytes = 0;
    for (const MatrixSpec& matrix : parameters.units[unit].matrices) {
      if (matrix.layout != MatrixLayout::panels) continue;
      const MatrixShape& shape = matrix.shape;
      const bool of_expert = matrix.name.find("experts.") != std::string::npos;
      const double share = of_expert ? expert_share : 1;
      bytes += share * packed(rows, shape.inputs);
      // Gate and up are combined into the packed input of the next product, and a row-parallel
      // product adds to the residual stream.
      if (matrix.fuse == Fuse::concatenate && !shape.row_parallel) bytes += floats(shape.outputs);
      if (shape.row_parallel && tp_size > 1) {
        parts = std::max(parts, (tp_size + 1) * floats(shape.outputs));
      }
    }
    layer = std::max(layer, bytes);
  }
  const UnitSpec& table = parameters.units[static_cast<std::size_t>(parameters.embedding_unit)];
  const std::int64_t width = table.matrices.front().shape.inputs;
  const double residual = floats(width);
  const double head = packed(logit_rows, width) + static_cast<double>(logit_rows) *
                                                      kVocabularyGroups *
                                                      static_cast<double>(sizeof(SelectPartial));
  return static_cast<std::uint64_t>(layer + parts + residual + head);
}

std::int64_t plan_pass_rows(const StateBudget& budget, const ModelParameters& parameters,
                            int tp_size, int slots) {
  constexpr std::int64_t kFewest = 64;
  constexpr std::uint64_t kShare = 8;
  std::int64_t rows = budget.pass_rows;
  // Pages of the host come when they are touched.
  if (!budget.pooled || budget.on_demand) return rows;
  while (rows > kFewest &&
         workspace_bytes(parameters, tp_size, rows + slots) > budget.bytes / kShare) {
    rows /= 2;
  }
  return rows;
}

SlotPlan plan_slots(const Backend& backend, const Model& model, const SlotRequest& request,
                    const RankPlace& place) {
  return plan_slots(backend, model, request, place, [&](std::uint64_t workspace_bytes) {
    return backend.state_budget(place.node_ranks, workspace_bytes);
  });
}

SlotPlan plan_slots(const Backend& backend, const Model& model, const SlotRequest& request,
                    const RankPlace& place, const BudgetOf& budget_of) {
  const ModelParameters parameters = model.parameters(place.tp_size, place.tp_rank);
  const StateBudget all = budget_of(0);
  const int slots = request.slots > 0 ? request.slots : all.most_slots;
  const std::int64_t pass_rows = request.pass_rows > 0
                                     ? request.pass_rows
                                     : plan_pass_rows(all, parameters, place.tp_size, slots);
  const std::uint64_t workspace = workspace_bytes(parameters, place.tp_size, pass_rows + slots);
  const KvExtent extent = backend.host_memory() ? KvExtent::window : KvExtent::row;
  const auto bytes = [&](std::int64_t length) {
    return model.state_bytes_per_slot(place.tp_size, length, backend.compute_dtype(), extent);
  };
  const std::int64_t longest = request.max_length;
  const std::size_t fixed = bytes(1) - std::min(bytes(2) - bytes(1), bytes(1));
  const bool even =
      bytes(longest) == fixed + static_cast<std::size_t>(longest) * (bytes(1) - fixed);
  SequenceNeeds needs{.slots = request.slots,
                      .max_length = request.max_length,
                      .bytes_per_slot = bytes(longest),
                      .fixed_size = model.info().recurrent,
                      .fixed_bytes = fixed,
                      .prefix_memory = request.prefix_memory};
  if (!even) needs.bytes_at = [&](std::int64_t length) { return bytes(length); };
  SlotPlan plan = plan_slots(budget_of(workspace), needs);
  plan.pass_rows = pass_rows;
  return plan;
}

}  // namespace gridmill
