// generate_tokens with a sampler of one's own: the stories model tells a story without full stops.
//   gridmill convert models/stories260K/stories260K.bin stories.h5 --tokenizer
//   models/stories260K/tok512.bin mpirun -n 1 example_generate_tokens stories.h5
#include <cmath>
#include <cstdio>

#include "gridmill/job/run_context.hpp"
#include "gridmill/sampling/greedy.hpp"

using gridmill::TokenId;

int main(int /*argc*/, char** argv) {
  const gridmill::MpiSession session;
  gridmill::RunContext context({.model = argv[1], .log_level = "error"});
  gridmill::GenerateTokensOptions options = context.generate_tokens_options();
  options.max_length = 40;
  options.token_sample_fn = [](gridmill::TensorView<const float, 2> logits,
                               const auto& /*random*/) {
    gridmill::Tensor<float, 2> scores({logits.extent(0), logits.extent(1)});
    scores.flat().assign(logits.flat().begin(), logits.flat().end());
    for (std::int64_t row = 0; row < logits.extent(0); ++row) scores(row, 426) = -INFINITY;
    return gridmill::greedy_sampling(scores.view());
  };
  const std::vector<TokenId> prefix = {1, 403};  // [B]: two rows on each data shard
  const auto batch = generate_tokens(context.generation_state(), gridmill::JaxRandom{}, prefix,
                                     std::move(options));
  for (const TokenId id : batch.tokens.flat()) std::printf("%d ", id);
}
