#include <algorithm>
#include <array>
#include <cstddef>
#include <tuple>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/plan/grid_plan.hpp"

namespace gridmill {

namespace {

std::vector<int> divisors(int number) {
  std::vector<int> found;
  for (int divisor = 1; divisor <= number; ++divisor) {
    if (number % divisor == 0) found.push_back(divisor);
  }
  return found;
}

/// Tp sizes that the model can be cut into.
std::vector<int> tp_sizes(const Model& model) {
  std::vector<int> sizes;
  for (const int tp : {1, 2, 4, 8}) {
    try {
      static_cast<void>(model.parameters(tp, 0));
      sizes.push_back(tp);
    } catch (const UsageError&) {  // a model without so many heads
    }
  }
  return sizes;
}

std::vector<GridChoice> choices_of(const PlanRequest& request, const PlanMachine& machine,
                                   const GridConstraint& constraint) {
  std::vector<GridChoice> choices;
  const GridShape& given = constraint.grid;
  const std::vector<int> node_ranks = constraint.ranks_per_node > 0
                                          ? std::vector<int>{constraint.ranks_per_node}
                                          : divisors(machine.cores);
  const std::vector<int> tps =
      given.tp > 0 ? std::vector<int>{given.tp} : tp_sizes(*request.model.model);
  for (const int per_node : node_ranks) {
    const int ranks = per_node * machine.nodes;
    for (const int tp : tps) {
      if (ranks % tp != 0) continue;
      for (const int fsdp : divisors(ranks / tp)) {
        const int dp = ranks / tp / fsdp;
        if ((given.fsdp > 0 && given.fsdp != fsdp) || (given.dp > 0 && given.dp != dp)) continue;
        for (const bool once : {false, true}) {
          // With one shard there is nothing to gather.
          const bool wanted = constraint.gather_once ? once == *constraint.gather_once
                              : fsdp == 1            ? !once
                                                     : true;
          if (wanted) {
            choices.push_back({.grid = {.dp = dp, .fsdp = fsdp, .tp = tp},
                               .ranks_per_node = per_node,
                               .gather_once = once});
          }
        }
      }
    }
  }
  return choices;
}

/// Less is better.
std::tuple<bool, double, double, double, int> order_of(const GridPlan& plan) {
  const double seconds = plan.times ? plan.times->generate_s : 0;
  const double fed = std::max(plan.passes.fed_tokens * plan.replicas(), 1.0);
  const double slots = std::max(plan.slots.slots, 1) * static_cast<double>(plan.replicas());
  const double weights =
      static_cast<double>(plan.parameters.shared_bytes + plan.parameters.gathered_bytes_a_pass) *
      plan.choice.grid.ranks() / slots;
  return {!plan.fits(), seconds, plan.exchanged_bytes / fed, weights, plan.choice.grid.ranks()};
}

std::string ratio_of(double more, double less) { return fmt::format("{:.1f}", more / less); }

}  // namespace

std::vector<GridPlan> plan_grids(const PlanRequest& request, const PlanMachine& machine,
                                 const GridConstraint& constraint) {
  std::vector<GridPlan> plans;
  for (const GridChoice& choice : choices_of(request, machine, constraint)) {
    plans.push_back(plan_grid(request, machine, choice));
  }
  if (plans.empty()) {
    throw UsageError(fmt::format(
        "no grid of {} nodes{} has --dp {} --fsdp {} --tp {} (0 = any); lower one of them",
        machine.nodes,
        constraint.ranks_per_node > 0 ? fmt::format(" of {} ranks", constraint.ranks_per_node) : "",
        constraint.grid.dp, constraint.grid.fsdp, constraint.grid.tp));
  }
  std::stable_sort(plans.begin(), plans.end(),
                   [](const GridPlan& a, const GridPlan& b) { return order_of(a) < order_of(b); });
  return plans;
}

std::string why_behind(const GridPlan& plan, const GridPlan& best) {
  if (!plan.fits()) return "does not fit: " + plan.refusal;
  std::vector<std::string> reasons;
  if (plan.times && best.times && plan.times->generate_s > best.times->generate_s * 1.005) {
    reasons.push_back(fmt::format("takes {} times as long",
                                  ratio_of(plan.times->generate_s, best.times->generate_s)));
  }
  if (plan.exchanged_bytes > best.exchanged_bytes * 1.05 + 1e6) {
    reasons.push_back(best.exchanged_bytes < 1e6
                          ? fmt::format("exchanges {:.1f} GB", plan.exchanged_bytes / 1e9)
                          : fmt::format("exchanges {} times as much",
                                        ratio_of(plan.exchanged_bytes, best.exchanged_bytes)));
  }
  const int slots = plan.slots.slots * plan.replicas();
  const int best_slots = best.slots.slots * best.replicas();
  if (slots < best_slots)
    reasons.push_back(fmt::format("{} rows in flight, not {}", slots, best_slots));
  if (plan.node_bytes > best.node_bytes * 11 / 10) {
    reasons.push_back(fmt::format(
        "{} times the memory",
        ratio_of(static_cast<double>(plan.node_bytes), static_cast<double>(best.node_bytes))));
  }
  if (reasons.empty()) return "about as good";
  return fmt::format("{}", fmt::join(reasons, ", "));
}

}  // namespace gridmill
