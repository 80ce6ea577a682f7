#include "gridmill/plan/grid_plan.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/bench/roofline.hpp"
#include "gridmill/kernels/backend.hpp"

namespace gridmill {

namespace {

double gib(double bytes) { return bytes / (1 << 30); }
double gib(std::uint64_t bytes) { return gib(static_cast<double>(bytes)); }

/// One plan on its way.
class Planner {
 public:
  Planner(const PlanRequest& request, const PlanMachine& machine, const GridChoice& choice)
      : request_(request), machine_(machine), grid_(choice.grid) {
    check(choice);
    plan_.choice = choice;
    plan_.threads = std::max(1, machine.cores / choice.ranks_per_node);
    parameters_ = with_stored_formats(request.model.model->parameters(grid_.tp, 0),
                                      request.model.stored, request.backend, request.cast);
    sharing_ = {.fsdp = grid_.fsdp,
                .gather_once = choice.gather_once,
                .fsdp_min_weight_size = request.fsdp_min_weight_size};
    // Shards differ by a panel of each matrix; the last one is never smaller.
    plan_.parameters = parameter_footprint(parameters_, request.backend, sharing_,
                                           sharing_.whole() ? 0 : grid_.fsdp - 1);
  }

  GridPlan make() {
    const auto replicas = static_cast<std::uint64_t>(plan_.replicas());
    plan_.replica_rows = (request_.result.rows + replicas - 1) / replicas;
    plan_.row_bytes =
        row_state_bytes(*request_.model.model, request_.backend, grid_.tp,
                        (request_.slots.max_length + kKvPagePositions - 1) / kKvPagePositions);
    count_traffic();
    if (find_room()) {
      count_passes();
      estimate_memory();
    }
    return std::move(plan_);
  }

 private:
  static void check(const GridChoice& choice) {
    const GridShape& grid = choice.grid;
    if (grid.dp < 1 || grid.fsdp < 1 ||
        (grid.tp != 1 && grid.tp != 2 && grid.tp != 4 && grid.tp != 8)) {
      throw UsageError(fmt::format("no grid is dp {} x fsdp {} x tp {}: tp is 1, 2, 4 or 8",
                                   grid.dp, grid.fsdp, grid.tp));
    }
    if (grid.ranks() % choice.ranks_per_node != 0) {
      throw UsageError(
          fmt::format("{} ranks do not fill nodes of {}", grid.ranks(), choice.ranks_per_node));
    }
  }

  /// Tp slices that have a copy on a node.
  [[nodiscard]] int slices_of_node() const {
    return std::min(grid_.tp, plan_.choice.ranks_per_node);
  }
  [[nodiscard]] std::uint64_t node_parameter_bytes() const {
    return plan_.parameters.shared_bytes * static_cast<std::uint64_t>(slices_of_node()) +
           plan_.parameters.private_bytes * node_ranks();
  }
  [[nodiscard]] std::uint64_t node_ranks() const {
    return static_cast<std::uint64_t>(plan_.choice.ranks_per_node);
  }

  /// Memory for states, as a rank finds it when its parameters are loaded.
  bool find_room() {
    const std::uint64_t parameters = node_parameter_bytes();
    const std::uint64_t loaded = parameters + node_ranks() * process_bytes();
    if (loaded > machine_.memory_bytes) {
      plan_.refusal = fmt::format(
          "parameters take {:.1f} GiB a node and {} processes {:.1f} GiB, of {:.1f} GiB; {}",
          gib(parameters), node_ranks(), gib(loaded - parameters), gib(machine_.memory_bytes),
          sharing_.whole() ? "raise --tp or --fsdp over several nodes, lower --ranks-per-node, or "
                             "convert with --weights int8"
                           : "raise --fsdp or --tp, lower --ranks-per-node, or convert with "
                             "--weights int8");
      return false;
    }
    const std::uint64_t share = (machine_.memory_bytes - loaded) / node_ranks();
    const StateBudget budget = request_.backend.host_state_budget(share);
    plan_.state_room_bytes = budget.bytes;
    try {
      plan_.slots =
          plan_slots(request_.backend, *request_.model.model, request_.slots,
                     {.tp_size = grid_.tp, .tp_rank = 0, .node_ranks = plan_.choice.ranks_per_node},
                     [&budget](std::uint64_t /*workspace*/) { return budget; });
    } catch (const ResourceError& error) {
      plan_.refusal = error.what();
      return false;
    }
    return true;
  }

  void estimate_memory() {
    plan_.rank = rank_memory({.model = *request_.model.model,
                              .parameters = parameters_,
                              .backend = request_.backend,
                              .tp_size = grid_.tp,
                              .expert_share = request_.model.expert_share,
                              .passes = plan_.passes},
                             plan_.parameters);
    plan_.node_bytes = plan_.rank.own() * node_ranks() +
                       plan_.rank.shared_parameters * static_cast<std::uint64_t>(slices_of_node());
    if (plan_.node_bytes <= machine_.memory_bytes) return;
    plan_.refusal = fmt::format(
        "the ranks of a node take {:.1f} GiB ({:.1f} GiB of them states of {} rows a rank), of "
        "{:.1f} GiB; lower --slots or --max-length, use fewer ranks a node, or raise --tp",
        gib(plan_.node_bytes), gib(plan_.rank.states * node_ranks()), plan_.passes.peak_rows,
        gib(machine_.memory_bytes));
  }

  void count_traffic() {
    for (int tp = 0; tp < grid_.tp; ++tp) {
      std::vector<int> nodes;
      nodes.reserve(static_cast<std::size_t>(plan_.replicas()));
      for (int index = 0; index < plan_.replicas(); ++index) {
        nodes.push_back((index * grid_.tp + tp) / plan_.choice.ranks_per_node);
      }
      const ParameterTraffic traffic = parameter_traffic(
          with_stored_formats(request_.model.model->parameters(grid_.tp, tp), request_.model.stored,
                              request_.backend, request_.cast),
          request_.model.stored, request_.backend, sharing_, nodes);
      plan_.bytes_read += traffic.bytes_read;
      plan_.load_bytes += traffic.bytes_received;
    }
  }

  /// Bytes that one rank receives from its tp group for a token, and for one that is drawn.
  struct TokenBytes {
    double fed = 0;
    double drawn = 0;
  };
  [[nodiscard]] TokenBytes token_bytes() const {
    TokenBytes bytes;
    const auto others = static_cast<double>(grid_.tp - 1);
    std::string joined;  // the block whose experts have been counted: they are joined once
    for (const UnitSpec& unit : parameters_.units) {
      for (const MatrixSpec& matrix : unit.matrices) {
        if (!matrix.shape.row_parallel) continue;
        const std::size_t expert = matrix.name.find("experts.");
        if (expert != std::string::npos) {
          const std::string block = unit.name + matrix.name.substr(0, expert);
          if (block == joined) continue;
          joined = block;
        }
        bytes.fed += others * static_cast<double>(matrix.shape.outputs) * sizeof(float);
      }
    }
    const MatrixSpec& table =
        parameters_.units[static_cast<std::size_t>(parameters_.embedding_unit)].matrices.front();
    const auto row = static_cast<double>(table.shape.inputs) * sizeof(float);
    bytes.fed += row * others / grid_.tp;
    if (!sharing_.whole()) bytes.fed += row * (1.0 - 1.0 / grid_.fsdp) / grid_.tp;
    bytes.drawn = others * (static_cast<double>(kVocabularyGroups) / grid_.tp) *
                  static_cast<double>(sizeof(SelectPartial));
    return bytes;
  }

  void count_passes() {
    const TokenBytes token = token_bytes();
    const auto gathered = static_cast<double>(plan_.parameters.gathered_bytes_a_pass);
    PassSeconds seconds;
    const DType dtype = request_.backend.compute_dtype();
    const PassCost cost =
        pass_cost(*request_.model.model, parameters_, grid_.tp, dtype, request_.model.expert_share);
    PassTotals moving;  // passes that memory limits
    if (request_.speed) {
      const MachineLimits limits = of_rank(request_.speed->limits);
      seconds = [=, &moving](const PassTotals& pass) {
        DecodeBound bound = pass_bound(cost, limits, dtype,
                                       {.tokens = pass.fed_tokens,
                                        .drawn = pass.drawn_tokens,
                                        .rows = pass.fed_rows,
                                        .context = pass.context});
        // What comes from other ranks is read and written once at least.
        bound.moving_s +=
            2 * (gathered + token.fed * pass.fed_tokens + token.drawn * pass.drawn_tokens) /
            limits.update_bytes_per_s;
        moving.passes += 1;
        moving.seconds += bound.moving_s > bound.multiplying_s ? 1 : 0;
        return bound.seconds();
      };
    }
    plan_.passes = simulate_passes(plan_.replica_rows, request_.lengths, plan_.slots, seconds);
    plan_.exchanged_bytes = (gathered * plan_.passes.passes + token.fed * plan_.passes.fed_tokens +
                             token.drawn * plan_.passes.drawn_tokens) *
                            grid_.ranks();
    if (!request_.speed) return;
    PlanTimes& times = plan_.times.emplace();
    times.generate_s = plan_.passes.seconds / request_.speed->share;
    double generated = 0;
    for (const RowLength& length : request_.lengths) {
      generated += static_cast<double>(length.generated);
    }
    generated *=
        static_cast<double>(request_.result.rows) / static_cast<double>(request_.lengths.size());
    times.tokens_per_s = generated / std::max(times.generate_s, 1e-9);
    times.moving_share = moving.seconds / std::max(moving.passes, 1.0);
  }

  /// A rank's part of what a node gives.
  [[nodiscard]] MachineLimits of_rank(MachineLimits limits) const {
    const auto ranks = static_cast<double>(plan_.choice.ranks_per_node);
    limits.read_bytes_per_s /= ranks;
    limits.update_bytes_per_s /= ranks;
    limits.bf16_flop_per_s /= ranks;
    limits.fp32_flop_per_s /= ranks;
    limits.int8_op_per_s /= ranks;
    return limits;
  }

  const PlanRequest& request_;
  const PlanMachine& machine_;
  GridShape grid_;
  ModelParameters parameters_;
  ParameterSharing sharing_{};
  GridPlan plan_{};
};

}  // namespace

double PlanRequest::mean_tokens() const {
  const double sum = std::accumulate(
      lengths.begin(), lengths.end(), 0.0, [](double total, const RowLength& length) {
        return total + static_cast<double>(length.prompt) + static_cast<double>(length.generated);
      });
  return sum / static_cast<double>(std::max<std::size_t>(lengths.size(), 1));
}

GridPlan plan_grid(const PlanRequest& request, const PlanMachine& machine,
                   const GridChoice& choice) {
  return Planner(request, machine, choice).make();
}

}  // namespace gridmill
