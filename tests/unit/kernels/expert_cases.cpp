#include "unit/kernels/expert_cases.hpp"

#include <algorithm>
#include <cmath>

#include "gridmill/base/format.hpp"
#include "gridmill/kernels/experts.hpp"

namespace gridmill::testing {

namespace {

Matrix columns_of(const Matrix& matrix, IndexRange range) {
  Matrix part({matrix.extent(0), range.count});
  for (std::int64_t row = 0; row < part.extent(0); ++row) {
    for (std::int64_t i = 0; i < range.count; ++i) part(row, i) = matrix(row, range.first + i);
  }
  return part;
}

/// The rows of gate and of up that one rank has.
Matrix gate_up_slice(const Matrix& whole, IndexRange range) {
  const std::int64_t width = whole.extent(0) / 2;
  Matrix part({2 * range.count, whole.extent(1)});
  for (std::int64_t half = 0; half < 2; ++half) {
    for (std::int64_t row = 0; row < range.count; ++row) {
      for (std::int64_t i = 0; i < whole.extent(1); ++i) {
        part(half * range.count + row, i) = whole(half * width + range.first + row, i);
      }
    }
  }
  return part;
}

std::vector<float> bias_slice(std::span<const float> whole, IndexRange range) {
  const auto width = static_cast<std::int64_t>(whole.size()) / 2;
  std::vector<float> part;
  for (std::int64_t half = 0; half < 2; ++half) {
    const auto from = whole.begin() + half * width + range.first;
    part.insert(part.end(), from, from + range.count);
  }
  return part;
}

template <typename T>
std::span<const T> piece(const std::vector<T>& values, std::int64_t index, std::int64_t size) {
  if (values.empty()) return {};
  return std::span(values).subspan(static_cast<std::size_t>(index * size),
                                   static_cast<std::size_t>(size));
}

/// One tp rank's part: sums of its blocks, joined, at `part` [rows, width].
void run_rank(TestDevice& device, const ExpertCase& experts, const ExpertData& data,
              const ExpertPlan& plan, ConstDeviceMatrix u, IndexRange slice, int tp_size,
              DeviceMatrix part) {
  Backend& backend = device.backend();
  Stream& stream = device.stream();
  const auto pairs = static_cast<std::int64_t>(plan.rows.size());
  std::vector<Weight> gate_up, down;
  std::vector<ExpertRows> gated, joined;
  for (const ExpertPlan::Group& group : plan.groups) {
    const auto e = static_cast<std::size_t>(group.expert);
    gate_up.push_back(device.weight(gate_up_slice(data.gate_up[e], slice),
                                    {.shape = {.outputs = 2 * slice.count,
                                               .inputs = experts.width,
                                               .whole_inputs = experts.width},
                                     .fuse = Fuse::interleave,
                                     .shards = experts.shards}));
    down.push_back(device.weight(columns_of(data.down[e], slice),
                                 {.shape = {.outputs = experts.width,
                                            .inputs = slice.count,
                                            .row_parallel = true,
                                            .whole_inputs = experts.expert_width,
                                            .first_input = slice.first},
                                  .shards = experts.shards}));
    ConstDeviceVector gate_bias, down_bias;
    if (experts.bias) {
      gate_bias = device.vector(
          bias_slice(piece(data.gate_bias, group.expert, 2 * experts.expert_width), slice));
      const auto whole = piece(data.down_bias, group.expert, experts.width);
      down_bias = device.vector({whole.begin(), whole.end()});
    }
    gated.push_back(
        {.weight = nullptr, .bias = gate_bias, .first = group.first, .count = group.count});
    joined.push_back(
        {.weight = nullptr, .bias = down_bias, .first = group.first, .count = group.count});
  }
  for (std::size_t i = 0; i < gated.size(); ++i) {
    gated[i].weight = &gate_up[i];
    joined[i].weight = &down[i];
  }
  const PackedRows x = device.packed(pairs, experts.width);
  const PackedRows h = device.packed(pairs, slice.count);
  backend.gather_pack(stream, u, gated, plan.rows, x);
  backend.experts_gated(stream, x, gated, {.activation = Activation::silu, .limit = experts.limit},
                        h);
  const int blocks = kReductionBlocks / tp_size;
  const Buffer memory = backend.allocate(
      static_cast<std::size_t>(blocks * part.rows * part.columns + 1) * sizeof(float));
  const DeviceMatrix sums{reinterpret_cast<float*>(memory.data()), blocks * part.rows, part.columns,
                          part.columns};
  backend.experts_down(stream, h, joined, plan.rows, plan.weights, {.tp_size = tp_size}, sums);
  backend.join_partials(stream, sums.data, blocks, {}, false, part);
  stream.synchronize();
}

}  // namespace

std::string text(const DotCase& dots) {
  return fmt::format("rows {} inputs {} outputs {} bias {}", dots.rows, dots.inputs, dots.outputs,
                     dots.bias);
}

std::vector<DotCase> dot_cases() {
  std::vector<DotCase> cases;
  for (const std::int64_t inputs : {1, 15, 16, 17, 33, 100}) {
    for (const std::int64_t outputs : {1, 3, 8}) {
      cases.push_back({.rows = 1 + inputs % 4, .inputs = inputs, .outputs = outputs});
      cases.push_back({.rows = 2, .inputs = inputs, .outputs = outputs, .bias = true});
    }
  }
  cases.push_back({.rows = 0, .inputs = 5, .outputs = 4});
  return cases;
}

Matrix run_row_dots(TestDevice& device, const DotCase& dots) {
  Numbers numbers(static_cast<std::uint32_t>(dots.inputs * 31 + dots.outputs));
  const DeviceMatrix x = device.matrix(numbers.matrix(dots.rows, dots.inputs));
  const ConstDeviceVector weights = device.vector(numbers.vector(dots.inputs * dots.outputs));
  const ConstDeviceVector bias =
      dots.bias ? device.vector(numbers.vector(dots.outputs)) : ConstDeviceVector{};
  const DeviceMatrix out = device.matrix(dots.rows, dots.outputs);
  device.backend().row_dots(device.stream(), x, weights, bias, out);
  return device.download(out);
}

std::string text(const ExpertCase& experts) {
  return fmt::format("rows {} width {} expert width {} experts {} chosen {} bias {} limit {}",
                     experts.rows, experts.width, experts.expert_width, experts.experts,
                     experts.chosen, experts.bias, experts.limit);
}

std::vector<ExpertCase> expert_cases() {
  return {
      {.rows = 1, .width = 17, .expert_width = 9},
      {.rows = 3,
       .width = 48,
       .expert_width = 40,
       .experts = 6,
       .bias = true,
       .limit = 2.0F,
       .shards = 2},
      {.rows = 9,
       .width = 49,
       .expert_width = 97,
       .experts = 5,
       .chosen = 3,
       .weights = RouterWeights::softmax_shared,
       .shards = 3},
      {.rows = 40,
       .width = 64,
       .expert_width = 33,
       .experts = 3,
       .chosen = 3,
       .weights = RouterWeights::softmax_chosen,
       .bias = true},
      {.rows = 21, .width = 32, .expert_width = 16, .experts = 16, .chosen = 1},
      {.rows = 70, .width = 20, .expert_width = 12, .experts = 4, .chosen = 1, .lone_expert = true},
      {.rows = 2, .width = 16, .expert_width = 3, .experts = 2, .chosen = 2},
      {.rows = 0, .width = 16, .expert_width = 8},
  };
}

ExpertData expert_data(const ExpertCase& experts) {
  Numbers numbers(
      static_cast<std::uint32_t>(experts.rows * 7 + experts.width * 131 + experts.expert_width));
  ExpertData data;
  data.x = numbers.matrix(experts.rows, experts.width);
  data.router = experts.lone_expert
                    ? std::vector<float>(static_cast<std::size_t>(experts.experts * experts.width))
                    : numbers.vector(experts.experts * experts.width);
  for (std::int64_t e = 0; e < experts.experts; ++e) {
    data.gate_up.push_back(numbers.matrix(2 * experts.expert_width, experts.width));
    data.down.push_back(numbers.matrix(experts.width, experts.expert_width));
  }
  if (experts.bias) {
    data.gate_bias = numbers.vector(experts.experts * 2 * experts.expert_width);
    data.down_bias = numbers.vector(experts.experts * experts.width);
  }
  return data;
}

Matrix run_experts(TestDevice& device, const ExpertCase& experts, int tp_size,
                   std::int64_t only_row) {
  const ExpertData data = expert_data(experts);
  Backend& backend = device.backend();
  Stream& stream = device.stream();
  Matrix rows = data.x;
  if (only_row >= 0) {
    rows = Matrix({1, experts.width});
    for (std::int64_t i = 0; i < experts.width; ++i) rows(0, i) = data.x(only_row, i);
  }
  const std::int64_t count = rows.extent(0);

  const DeviceMatrix u = device.matrix(count, experts.width);
  backend.norm_rows(stream, device.matrix(rows),
                    {.kind = NormKind::rms, .eps = 1e-5F, .weight = {}, .bias = {}}, u);
  const DeviceMatrix logits = device.matrix(count, experts.experts);
  backend.row_dots(stream, u, device.vector(data.router), {}, logits);
  const Matrix host = device.download(logits);
  std::vector<ExpertChoice> choices(static_cast<std::size_t>(count) * experts.chosen);
  for (std::int64_t row = 0; row < count; ++row) {
    choose_experts(
        host.view().row(row), experts.weights,
        std::span(choices).subspan(static_cast<std::size_t>(row) * experts.chosen, experts.chosen));
  }
  const ExpertPlan plan = plan_experts(choices, experts.chosen);

  const std::int64_t floats = count * experts.width;
  const Buffer parts =
      backend.allocate(static_cast<std::size_t>(tp_size * floats + 1) * sizeof(float));
  auto* first = reinterpret_cast<float*>(parts.data());
  for (int rank = 0; rank < tp_size; ++rank) {
    run_rank(device, experts, data, plan, u, reduction_slice(experts.expert_width, tp_size, rank),
             tp_size, {first + rank * floats, count, experts.width, experts.width});
  }
  const DeviceMatrix out = device.matrix(count, experts.width);
  backend.join_partials(stream, first, tp_size, {}, false, out);
  return device.download(out);
}

Matrix expected_experts(const ExpertCase& experts) {
  const ExpertData data = expert_data(experts);
  Matrix out({experts.rows, experts.width});
  for (std::int64_t row = 0; row < experts.rows; ++row) {
    double squares = 0;
    for (std::int64_t i = 0; i < experts.width; ++i) squares += std::pow(data.x(row, i), 2.0);
    const double r = 1 / std::sqrt(squares / static_cast<double>(experts.width) + 1e-5);
    std::vector<float> logits;
    for (std::int64_t e = 0; e < experts.experts; ++e) {
      double logit = 0;
      for (std::int64_t i = 0; i < experts.width; ++i) {
        logit += data.x(row, i) * r *
                 static_cast<double>(data.router[static_cast<std::size_t>(e * experts.width + i)]);
      }
      logits.push_back(static_cast<float>(logit));
    }
    std::vector<ExpertChoice> chosen(experts.chosen);
    choose_experts(logits, experts.weights, chosen);
    for (const ExpertChoice& choice : chosen) {
      const auto e = static_cast<std::size_t>(choice.expert);
      const std::int64_t width = experts.expert_width;
      std::vector<double> h(static_cast<std::size_t>(width));
      for (std::int64_t f = 0; f < width; ++f) {
        double g = 0;
        double u = 0;
        for (std::int64_t i = 0; i < experts.width; ++i) {
          g += data.x(row, i) * r * static_cast<double>(data.gate_up[e](f, i));
          u += data.x(row, i) * r * static_cast<double>(data.gate_up[e](width + f, i));
        }
        if (experts.bias) {
          const auto at = e * static_cast<std::size_t>(2 * width) + static_cast<std::size_t>(f);
          g += static_cast<double>(data.gate_bias[at]);
          u += static_cast<double>(data.gate_bias[at + static_cast<std::size_t>(width)]);
        }
        const auto limit = static_cast<double>(experts.limit);
        if (limit > 0) {
          g = std::min(g, limit);
          u = std::clamp(u, -limit, limit);
          h[static_cast<std::size_t>(f)] = (u + 1) * g / (1 + std::exp(-1.702 * g));
        } else {
          h[static_cast<std::size_t>(f)] = u * g / (1 + std::exp(-g));
        }
      }
      for (std::int64_t o = 0; o < experts.width; ++o) {
        double sum =
            experts.bias
                ? static_cast<double>(data.down_bias[e * static_cast<std::size_t>(experts.width) +
                                                     static_cast<std::size_t>(o)])
                : 0.0;
        for (std::int64_t f = 0; f < width; ++f) {
          sum += h[static_cast<std::size_t>(f)] * static_cast<double>(data.down[e](o, f));
        }
        out(row, o) += static_cast<float>(static_cast<double>(choice.weight) * sum);
      }
    }
  }
  return out;
}

}  // namespace gridmill::testing
