#include "gridmill/generate/slot_plan.hpp"

#include <algorithm>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"

namespace gridmill {

SlotPlan plan_slots(const StateBudget& budget, const SequenceNeeds& needs) {
  const bool pooled = budget.pooled && !needs.fixed_size;
  const int wanted = needs.slots > 0 ? needs.slots : budget.most_slots;
  // On the host pages come when they are touched: what was asked for is taken.
  if (!budget.known || (needs.slots > 0 && !budget.pooled)) return {.slots = wanted};
  const std::uint64_t per_slot = std::max<std::size_t>(needs.bytes_per_slot, 1);
  const std::uint64_t fit = budget.bytes / per_slot;
  const auto mib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  if (fit == 0) {
    throw ResourceError(fmt::format(
        "not enough memory: one sequence needs {:.1f} MiB a rank and a rank may take {:.1f} MiB; "
        "lower --max-length, use fewer ranks a node, or raise --tp",
        mib(per_slot), mib(budget.bytes)));
  }
  if (!pooled) {
    if (needs.slots > 0 && fit < static_cast<std::uint64_t>(wanted)) {
      throw ResourceError(fmt::format(
          "not enough memory: --slots {} need {:.1f} MiB a rank and a rank may take {:.1f} MiB, "
          "enough for {}",
          wanted, mib(per_slot * static_cast<std::uint64_t>(wanted)), mib(budget.bytes), fit));
    }
    return {.slots = static_cast<int>(std::min<std::uint64_t>(fit, wanted))};
  }
  // Whole pages; a row of the longest length has to fit.
  const std::int64_t longest =
      (needs.max_length + kKvPagePositions - 1) / kKvPagePositions * kKvPagePositions;
  const double bytes_per_position =
      static_cast<double>(per_slot - needs.fixed_bytes) / static_cast<double>(needs.max_length);
  // States of fixed size are allocated for every slot, whatever the pool has room for.
  const auto for_pool =
      static_cast<double>(budget.bytes) - static_cast<double>(needs.fixed_bytes) * wanted;
  const auto room = static_cast<std::int64_t>(std::max(0.0, for_pool) / bytes_per_position) /
                    kKvPagePositions * kKvPagePositions;
  if (room < longest) {
    throw ResourceError(fmt::format(
        "not enough memory: a sequence of {} tokens needs {:.1f} MiB a rank and a rank may take "
        "{:.1f} MiB; lower --max-length, use fewer ranks a device, or raise --tp",
        longest, static_cast<double>(longest) * bytes_per_position / (1 << 20), mib(budget.bytes)));
  }
  return {.slots = wanted, .pool_positions = std::min(room, longest * wanted), .longest = longest};
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

std::int64_t plan_pass_rows(const StateBudget& budget, const ModelParameters& parameters,
                            int tp_size, int slots) {
  constexpr std::int64_t kFewest = 64;
  constexpr std::uint64_t kShare = 8;
  std::int64_t rows = budget.pass_rows;
  if (!budget.pooled) return rows;  // pages of the host come when they are touched
  while (rows > kFewest &&
         workspace_bytes(parameters, tp_size, rows + slots) > budget.bytes / kShare) {
    rows /= 2;
  }
  return rows;
}

SlotPlan plan_slots(const Backend& backend, const Model& model, const SlotRequest& request,
                    const RankPlace& place) {
  const ModelParameters parameters = model.parameters(place.tp_size, place.tp_rank);
  const StateBudget all = backend.state_budget(place.node_ranks, 0);
  const int slots = request.slots > 0 ? request.slots : all.most_slots;
  const std::int64_t pass_rows = request.pass_rows > 0
                                     ? request.pass_rows
                                     : plan_pass_rows(all, parameters, place.tp_size, slots);
  const std::uint64_t workspace = workspace_bytes(parameters, place.tp_size, pass_rows + slots);
  const KvExtent extent = all.pooled ? KvExtent::row : KvExtent::window;
  const auto bytes = [&](std::int64_t length) {
    return model.state_bytes_per_slot(place.tp_size, length, backend.compute_dtype(), extent);
  };
  const std::int64_t longest = request.max_length;
  SlotPlan plan = plan_slots(backend.state_budget(place.node_ranks, workspace),
                             {.slots = request.slots,
                              .max_length = request.max_length,
                              .bytes_per_slot = bytes(longest),
                              .fixed_size = model.info().recurrent,
                              .fixed_bytes = 2 * bytes(longest) - bytes(2 * longest)});
  plan.pass_rows = pass_rows;
  return plan;
}

}  // namespace gridmill
