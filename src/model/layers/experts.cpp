#include "gridmill/kernels/experts.hpp"

#include <vector>

#include "gridmill/base/numerics.hpp"
#include "model/layers/block.hpp"
#include "model/layers/row_parallel.hpp"

// Mixtures of experts (docs/numerics.md, section 6a). Which experts a row takes is decided on the
// host: the number of rows of an expert shapes its products.
namespace gridmill::model_detail {

namespace {

/// Products of a router with `outputs` outputs, on the host: [rows][outputs].
std::vector<float> router_products(const BlockRun& run, ConstDeviceMatrix input, PartIndex weights,
                                   PartIndex bias, std::int64_t outputs) {
  const DeviceMatrix products =
      run.workspace().matrix(run.stream(), Scratch::router, input.rows, outputs);
  run.backend().row_dots(run.stream(), input, run.vector(weights), run.vector(bias), products);
  std::vector<float> host(static_cast<std::size_t>(input.rows * outputs));
  run.backend().download(run.stream(), reinterpret_cast<const std::byte*>(products.data),
                         std::as_writable_bytes(std::span(host)));
  run.stream().synchronize();
  return host;
}

/// Every row's experts, its shared one (index spec.experts) last.
ExpertPlan plan_of(const BlockRun& run, const ExpertsSpec& spec, const ExpertsParts& parts,
                   ConstDeviceMatrix input) {
  const auto rows = static_cast<std::size_t>(input.rows);
  const auto experts = static_cast<std::size_t>(spec.experts);
  const auto chosen = static_cast<std::size_t>(spec.per_token);
  const std::size_t all = chosen + (spec.shared_size > 0 ? 1 : 0);
  const std::vector<float> products =
      router_products(run, input, parts.router, parts.router_bias, spec.experts);
  std::vector<float> gates;
  if (spec.shared_gate) gates = router_products(run, input, parts.shared_router, -1, 1);
  std::vector<ExpertChoice> choices(rows * all);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::span<ExpertChoice> own = std::span(choices).subspan(row * all, all);
    choose_experts(std::span(products).subspan(row * experts, experts), spec.router_weights,
                   own.first(chosen));
    if (all > chosen) {
      own.back() = {.expert = static_cast<std::int32_t>(spec.experts),
                    .weight = spec.shared_gate ? sigmoid_f32(gates[row]) : 1.0F};
    }
  }
  return plan_experts(choices, all);
}

/// Products of experts of one width for their rows of `x`, into `hidden`, then onto `blocks`.
struct ExpertProducts {
  std::vector<ExpertRows> gate_up;
  std::vector<ExpertRows> down;

  void add(const BlockRun& run, const FeedForwardParts& parts, std::int64_t first,
           std::int64_t count) {
    gate_up.push_back({&run.matrix(parts.up.weight), run.vector(parts.up.bias), first, count});
    down.push_back({&run.matrix(parts.down.weight), run.vector(parts.down.bias), first, count});
  }
};

/// Finishes the tree over the blocks of all ranks.
void join_blocks(const BlockRun& run, ConstDeviceMatrix blocks, bool accumulate, DeviceMatrix out) {
  Exchange& tp = run.pass.context.tp;
  const int own_blocks = kReductionBlocks / tp.size();
  if (tp.size() == 1) {
    run.backend().join_partials(run.stream(), blocks.data, own_blocks, {}, accumulate, out);
    return;
  }
  const DeviceMatrix partial =
      run.workspace().matrix(run.stream(), Scratch::partial, out.rows, out.columns);
  run.backend().join_partials(run.stream(), blocks.data, own_blocks, {}, false, partial);
  join_over_ranks(run.pass.context, run.workspace(), partial, {}, accumulate, out);
}

}  // namespace

void run_experts(const BlockRun& run, const ExpertsSpec& spec, const ExpertsParts& parts,
                 ConstDeviceMatrix input, bool accumulate, DeviceMatrix out) {
  Backend& backend = run.backend();
  Stream& stream = run.stream();
  const std::int64_t width = input.columns;
  const ExpertPlan plan = plan_of(run, spec, parts, input);
  const std::span<const std::int64_t> rows = plan.rows;
  const std::span<const float> weights = plan.weights;
  const auto packed_rows = static_cast<std::int64_t>(rows.size());

  ExpertProducts routed, shared;
  std::int64_t routed_rows = 0;
  std::int64_t shared_first = 0;
  for (const ExpertPlan::Group& group : plan.groups) {
    if (group.expert < spec.experts) {
      routed.add(run, parts.experts[static_cast<std::size_t>(group.expert)], group.first,
                 group.count);
      routed_rows = group.first + group.count;
    } else {
      shared.add(run, parts.shared, 0, group.count);
      shared_first = group.first;
    }
  }
  std::vector<ExpertRows> all = routed.gate_up;
  for (ExpertRows expert : shared.gate_up) {
    expert.first = shared_first;
    all.push_back(expert);
  }
  const PackedRows x = run.workspace().packed(stream, Scratch::expert_rows, packed_rows, width);
  backend.gather_pack(stream, input, all, rows, x);

  const int tp_size = run.tp().size;
  const DeviceMatrix blocks = run.workspace().matrix(stream, Scratch::expert_blocks,
                                                     kReductionBlocks / tp_size * out.rows, width);
  const auto add_products = [&](const ExpertProducts& products, const PackedRows& from,
                                Scratch what, const ExpertGate& gate, std::size_t first,
                                ExpertSums::Start start) {
    const std::int64_t inner = products.down.front().weight->shape.inputs;
    const PackedRows hidden = run.workspace().packed(stream, what, from.rows, inner);
    const auto count = static_cast<std::size_t>(from.rows);
    backend.experts_gated(stream, from, products.gate_up, gate, hidden);
    backend.experts_down(stream, hidden, products.down, rows.subspan(first, count),
                         weights.subspan(first, count), {.tp_size = tp_size, .start = start},
                         blocks);
  };
  const float limit = spec.kind == ExpertKind::clamped ? static_cast<float>(spec.limit) : 0.0F;
  add_products(routed, {x.data, routed_rows, width}, Scratch::expert_hidden,
               {.activation = spec.activation, .limit = limit}, 0, ExpertSums::Start::zero);
  if (!shared.down.empty()) {
    const PackedRows from{x.data + backend.packed_bytes(shared_first, width),
                          packed_rows - shared_first, width};
    add_products(shared, from, Scratch::shared_hidden, {.activation = spec.activation},
                 static_cast<std::size_t>(shared_first), ExpertSums::Start::held);
  }
  join_blocks(run, blocks, accumulate, out);
}

}  // namespace gridmill::model_detail
