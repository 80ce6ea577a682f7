#pragma once

#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "gridmill/generate/generate_tokens.hpp"
#include "support/model_run.hpp"
#include "support/tiny_models.hpp"

namespace gridmill::test {

/// A matrix written row by row.
template <typename T>
Tensor<T, 2> matrix_of(const std::vector<std::vector<T>>& rows) {
  Tensor<T, 2> matrix(
      {static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows.front().size())});
  auto out = matrix.flat().begin();
  for (const std::vector<T>& row : rows) out = std::copy(row.begin(), row.end(), out);
  return matrix;
}
using Ids = std::vector<std::vector<TokenId>>;
using Flags = std::vector<std::vector<std::uint8_t>>;

inline Ids rows_of(const Tensor<TokenId, 2>& tokens) {
  Ids rows;
  for (std::int64_t row = 0; row < tokens.extent(0); ++row) {
    const auto values = tokens.view().row(row);
    rows.emplace_back(values.begin(), values.end());
  }
  return rows;
}
inline Flags rows_of(const Tensor<std::uint8_t, 2>& flags) {
  Flags rows;
  for (std::int64_t row = 0; row < flags.extent(0); ++row) {
    const auto values = flags.view().row(row);
    rows.emplace_back(values.begin(), values.end());
  }
  return rows;
}

/// A model, and generate_tokens with its parameters.
class SeedRun {
 public:
  explicit SeedRun(const Json& config = xlstm_config(), const char* backend_name = "reference")
      : backend(make_backend(backend_name, {})), run(config, *backend, 1, 64) {
    parameters = std::shared_ptr<ParameterSource>(&run.parameters, [](ParameterSource*) {});
  }

  [[nodiscard]] GenerationState state() {
    return {*run.model, run.context, [this](bool once, std::optional<DType> dtype) {
              asked_once = once;
              asked_dtype = dtype;
              return parameters;
            }};
  }
  GeneratedBatch generate(const Ids& prefix, GenerateTokensOptions options,
                          const RandomSource& rng = JaxRandom{}) {
    const Tensor<TokenId, 2> tokens = matrix_of(prefix);
    return generate_tokens(state(), rng, tokens.view(), std::move(options));
  }
  GeneratedBatch generate(const Ids& prefix, const Flags& mask, GenerateTokensOptions options,
                          const RandomSource& rng = JaxRandom{}) {
    const Tensor<std::uint8_t, 2> flags = matrix_of(mask);
    options.prefix_mask = flags.view();
    return generate(prefix, std::move(options), rng);
  }

  std::unique_ptr<Backend> backend;
  ModelRun run;
  std::shared_ptr<ParameterSource> parameters;
  bool asked_once = false;
  std::optional<DType> asked_dtype;
};

/// Greedy, `length` tokens a row, options as in the seed.
inline GenerateTokensOptions greedy(std::int64_t length, std::int64_t eod = -1) {
  GenerateTokensOptions options;
  options.max_length = length;
  options.eod_token_id = eod;
  options.token_sample_fn = greedy_sampler();
  return options;
}

/// A sampler that returns `script[t][row]` in its t-th call: makes rows end when a test wants it.
inline TokenSampler scripted(std::vector<std::vector<TokenId>> script) {
  auto call = std::make_shared<std::size_t>(0);
  return [script = std::move(script), call](TensorView<const float, 2> /*logits*/,
                                            const StepRandom& /*random*/) {
    return script.at((*call)++);
  };
}

}  // namespace gridmill::test
