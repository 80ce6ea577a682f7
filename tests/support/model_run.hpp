#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gridmill/model/model.hpp"
#include "support/memory_parameters.hpp"

namespace gridmill::test {

/// A model on one backend with its parameters in memory, ready to feed.
class ModelRun {
 public:
  /// With random parameters.
  ModelRun(const Json& config, Backend& backend, int slots, std::int64_t max_length,
           std::uint32_t seed = 1)
      : ModelRun(config, backend, random_tensors(*make_model(config), seed), slots, max_length) {}
  ModelRun(const Json& config, Backend& backend, Tensors given, int slots, std::int64_t max_length)
      : model(make_model(config)),
        tensors(std::move(given)),
        stream(backend.make_stream()),
        context{backend, *stream, no_exchange},
        parameters(backend, *model, tensors),
        state(model->make_state(context, slots, max_length)) {}

  /// Feeds `tokens` to `slot` in one span and returns the logits of every token, [tokens, V].
  Tensor<float, 2> feed(SlotId slot, std::span<const TokenId> tokens) {
    const RowSpan span{.slot = slot,
                       .position = state->position(slot),
                       .tokens = tokens,
                       .want = LogitsWanted::all,
                       .allowed_length = allowed_length};
    return feed(std::span(&span, 1));
  }
  Tensor<float, 2> feed(std::span<const RowSpan> spans) {
    Tensor<float, 2> logits;
    model->forward(context, spans, *state, parameters, {.logits = &logits});
    return logits;
  }
  /// The same in pieces of `piece` tokens.
  Tensor<float, 2> feed_in_pieces(SlotId slot, std::span<const TokenId> tokens, std::size_t piece) {
    std::vector<float> all;
    for (std::size_t first = 0; first < tokens.size(); first += piece) {
      const Tensor<float, 2> logits =
          feed(slot, tokens.subspan(first, std::min(piece, tokens.size() - first)));
      all.insert(all.end(), logits.flat().begin(), logits.flat().end());
    }
    Tensor<float, 2> joined({static_cast<std::int64_t>(tokens.size()), model->info().vocab_size});
    joined.flat() = std::move(all);
    return joined;
  }

  /// Of the rows that are fed (RowSpan).
  std::int64_t allowed_length = 0;
  std::unique_ptr<Model> model;
  Tensors tensors;
  std::unique_ptr<Stream> stream;
  NoExchange no_exchange;
  ExecutionContext context;
  MemoryParameters parameters;
  std::unique_ptr<BatchState> state;
};

/// Token ids that look random: a fixed multiplicative walk through [0, V).
inline std::vector<TokenId> walk(std::size_t count, std::int64_t vocab_size, std::uint64_t start) {
  std::vector<TokenId> tokens;
  std::uint64_t value = start * 2654435761U + 12345;
  for (std::size_t i = 0; i < count; ++i) {
    value = value * 6364136223846793005U + 1442695040888963407U;
    tokens.push_back(static_cast<TokenId>((value >> 33) % static_cast<std::uint64_t>(vocab_size)));
  }
  return tokens;
}

}  // namespace gridmill::test
