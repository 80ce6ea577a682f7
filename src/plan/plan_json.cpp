#include "gridmill/plan/plan_json.hpp"

namespace gridmill {

namespace {

OrderedJson to_json(const RankMemory& memory) {
  return {{"process", memory.process},
          {"private_parameters", memory.private_parameters},
          {"shared_parameters", memory.shared_parameters},
          {"states", memory.states},
          {"workspace", memory.workspace},
          {"resident", memory.resident()}};
}

}  // namespace

OrderedJson to_json(const GridPlan& plan) {
  OrderedJson fields = {
      {"dp", plan.choice.grid.dp},
      {"fsdp", plan.choice.grid.fsdp},
      {"tp", plan.choice.grid.tp},
      {"gather_params_once", plan.choice.gather_once},
      {"ranks_per_node", plan.choice.ranks_per_node},
      {"threads", plan.threads},
      {"fits", plan.fits()},
  };
  if (!plan.fits()) fields["refusal"] = plan.refusal;
  fields["parameter_memory_private"] = plan.parameters.private_bytes;
  fields["parameter_memory_shared"] = plan.parameters.shared_bytes;
  fields["bytes_read"] = plan.bytes_read;
  fields["bytes_received_loading"] = plan.load_bytes;
  if (plan.slots.slots == 0) return fields;
  fields["rank_memory"] = to_json(plan.rank);
  fields["node_memory"] = plan.node_bytes;
  fields["state_room"] = plan.state_room_bytes;
  fields["longest_row_states"] = plan.row_bytes;
  fields["slots"] = plan.slots.slots;
  fields["slots_of_longest_rows"] = plan.slots.whole_slots();
  fields["pass_tokens"] = plan.slots.pass_rows;
  fields["replicas"] = plan.replicas();
  fields["replica_rows"] = plan.replica_rows;
  fields["passes"] = plan.passes.passes;
  fields["fed_tokens"] = plan.passes.fed_tokens;
  fields["preempted_rows"] = plan.passes.preempted_rows;
  fields["bytes_exchanged"] = plan.exchanged_bytes;
  if (plan.times) {
    fields["generate_s"] = plan.times->generate_s;
    fields["new_tokens_per_s"] = plan.times->tokens_per_s;
    fields["memory_bound_share"] = plan.times->moving_share;
  }
  return fields;
}

}  // namespace gridmill
