#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "gridmill/generate/slot_plan.hpp"
#include "kernels/cuda/runtime.hpp"
#include "support/cuda_emulation/cuda_platform.hpp"
#include "support/cuda_under_test.hpp"
#include "support/model_run.hpp"
#include "support/thread_exchange.hpp"
#include "support/tiny_models.hpp"

// What a pass takes of the device's memory is known before the first one.
namespace gridmill {
namespace {

constexpr int kSlots = 8;
constexpr std::size_t kTokens = 41;

/// With heads of 32 queries: shorter ones are padded, which a real model has no use for.
Json with(Json config, const Json& sizes) {
  config.update(sizes);
  return config;
}
Json xlstm() { return with(test::xlstm_full_config(), {{"qk_dim", 256}, {"v_dim", 256}}); }
Json older(const std::string& gate_input) {
  return with(test::xlstm_older_config(gate_input),
              {{"qk_dim", 128}, {"v_dim", 128}, {"inner_size", 128}});
}

struct Case {
  test::TinyModel tiny;
  int tp_size;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.tiny.name; }

class WorkspaceOfADevice : public ::testing::TestWithParam<Case> {};

/// Scores 8 rows of 40 tokens in passes of 270 tokens, and of 320 with their logits: more than have
/// logits at a time, and buffers that grow.
/// @return what of the device's memory has gone meanwhile.
std::size_t taken_by_passes(const Case& each, const test::Tensors& tensors, Exchange& tp) {
  cuda::emulation::set_device_memory(std::size_t{1} << 30);
  const auto backend = testing::make_cuda(DType::fp32);
  const auto model = make_model(each.tiny.config);
  const auto stream = backend->make_stream();
  ExecutionContext context{*backend, *stream, tp};
  test::MemoryParameters parameters(*backend, *model, tensors, tp.size(), tp.rank());
  const auto state = model->make_state(context, kSlots, kTokens);
  std::vector<std::vector<TokenId>> rows;
  for (std::uint64_t row = 0; row < kSlots; ++row) rows.push_back(test::walk(kTokens, 300, row));
  // One pass over the first `tokens` of all rows together, then one over the rest.
  const auto feed = [&](std::size_t count, std::size_t length, std::size_t tokens, bool logits) {
    for (std::size_t slot = 0; slot < count; ++slot) state->reset(static_cast<SlotId>(slot));
    for (const bool rest : {false, true}) {
      std::vector<RowSpan> spans;
      std::vector<SelectRow> wanted;
      for (std::size_t slot = 0; slot < count; ++slot) {
        const std::size_t share = std::min(length, tokens - std::min(tokens, slot * length));
        const std::span<const TokenId> fed =
            rest ? std::span(rows[slot]).subspan(share, length - share)
                 : std::span(rows[slot]).first(share);
        if (fed.empty()) continue;
        spans.push_back({.slot = static_cast<SlotId>(slot),
                         .position = static_cast<std::int32_t>(rest ? share : 0),
                         .tokens = fed,
                         .want = LogitsWanted::all});
        for (const TokenId id : fed)
          wanted.push_back({.plan = {.temperature = 0, .key = {}}, .target = id});
      }
      if (spans.empty()) continue;
      std::vector<Choice> choices;
      Tensor<float, 2> values;
      HeadRequest request{.rows = wanted, .choices = &choices};
      if (logits) request = {.logits = &values};
      model->forward(context, spans, *state, parameters, request);
    }
  };
  feed(1, kTokens - 1, 2, false);  // small arrays of the stream
  const std::size_t before = cuda::device_memory().free_bytes;
  feed(kSlots, kTokens - 1, 270, false);
  feed(kSlots, kTokens, 320, true);
  return before - cuda::device_memory().free_bytes;
}

TEST_P(WorkspaceOfADevice, IsKnownBeforehand) {
  const Case& each = GetParam();
  const auto model = make_model(each.tiny.config);
  const test::Tensors tensors = test::random_tensors(*model, 1);
  test::ThreadGroup(each.tp_size).run([&](Exchange& tp) {
    const std::uint64_t bound =
        workspace_bytes(model->parameters(tp.size(), tp.rank()), tp.size(), 320 + kSlots);
    const std::size_t taken = taken_by_passes(each, tensors, tp);
    EXPECT_LE(taken, bound);
    EXPECT_GT(taken, bound / 5) << "more room would be kept free than is of use";
  });
}

// Packed rows take most in fp32.
INSTANTIATE_TEST_SUITE_P(Models, WorkspaceOfADevice,
                         ::testing::Values(Case{{"llama", test::llama_full_config()}, 1},
                                           Case{{"llama", test::llama_full_config()}, 4},
                                           Case{{"xlstm", xlstm()}, 1}, Case{{"xlstm", xlstm()}, 4},
                                           Case{{"older", older("qkv")}, 1},
                                           Case{{"older_conv", older("conv")}, 1}),
                         [](const ::testing::TestParamInfo<Case>& each) {
                           return each.param.tiny.name + "_tp" + std::to_string(each.param.tp_size);
                         });

}  // namespace
}  // namespace gridmill
