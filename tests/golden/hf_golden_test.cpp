// Models of Hugging Face transformers against what transformers itself computed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "golden/golden_model.hpp"
#include "gridmill/generate/generator.hpp"
#include "support/model_run.hpp"
#include "support/thread_exchange.hpp"

namespace gridmill {
namespace {

/// A recorded case. `err32`: largest |float32 - float64| of transformers over all recorded logits,
/// so another float32 implementation should lie within 5 err32: it rounds in other places, and a
/// sum in another order may be a few times less lucky.
struct Case {
  std::string name;
  double err32 = 0;
  std::string model;      ///< folder or file; empty = beside the golden file
  std::string tokenizer;  ///< for models that do not bring one
  bool small = false;     ///< in tests/data
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.name; }

const std::string kModels = GRIDMILL_MODELS_DIR;

std::vector<Case> cases() {
  return {{"llama_gqa", 9.8e-6, "", "", true},
          {"llama_linear_rope_v4cfg", 6.3e-6, "", "", false},
          {"llama_rope3_bias_tied", 1.2e-5, "", "", false},
          {"mistral_window8", 7.6e-6, "", "", false},
          {"qwen2_bias_tied", 9.4e-6, "", "", false},
          {"qwen3_qknorm", 7.7e-6, "", "", false},
          {"smollm_like", 2.2e-5, "", "", false},
          {"stories260K", 2.0e-5, kModels + "/stories260K/stories260K.bin",
           kModels + "/stories260K/tok512.bin", true},
          {"tiny_xlstm_shakespeare", 2.3e-5, kModels + "/tiny-xlstm-shakespeare", "", true},
          {"xlstm_bf16_sharded", 2.3e-5, "", "", false},
          {"xlstm_bias_caps", 2.7e-5, "", "", true},
          {"xlstm_dims_not_64", 4.7e-5, "", "", false},
          {"xlstm_fused", 1.4e-5, "", "", false},
          {"xlstm_single", 2.0e-5, "", "", false},
          {"cohere", 8.8e-6, "", "", false},
          {"gemma2_caps_window", 1.6e-5, "", "", true},
          {"gemma3_nested_linear", 1.8e-5, "", "", false},
          {"gemma3_text", 1.6e-5, "", "", false},
          {"gemma_mqa", 1.9e-5, "", "", false},
          {"glm4", 1.0e-5, "", "", false},
          {"gpt2", 7.2e-6, "", "", false},
          {"gpt_oss", 1.6e-5, "", "", true},
          {"granite", 1.4e-5, "", "", false},
          {"mistral3_nested", 1.6e-5, "", "", false},
          {"mistral_yarn_v4cfg", 2.3e-5, "", "", false},
          {"mixtral", 1.6e-5, "", "", false},
          {"nemotron", 9.0e-6, "", "", false},
          {"olmo2", 1.1e-5, "", "", false},
          {"olmo3_window_yarn", 1.2e-5, "", "", false},
          {"olmoe", 2.5e-5, "", "", false},
          {"phi2_parallel", 6.0e-6, "", "", false},
          {"phi3_fused", 1.7e-5, "", "", false},
          {"phi3_longrope", 3.6e-5, "", "", false},
          {"phi4mini_partial_shortrope", 1.8e-5, "", "", false},
          {"pythia_parallel", 6.0e-6, "", "", false},
          {"qwen2_moe_shared", 1.5e-5, "", "", false},
          {"qwen2_yarn", 1.5e-5, "", "", false},
          {"qwen3_moe", 1.1e-5, "", "", false},
          {"smollm3_nope", 1.9e-5, "", "", false},
          {"stablelm2", 9.1e-6, "", "", false},
          {"starcoder2", 8.3e-6, "", "", false},
          {"mamba2", 1.2e-5, "", "", false},
          {"falcon_h1", 6.5e-6, "", "", false},
          {"qwen3_next", 1.5e-4, "", "", false},
          {"qwen3_5_text", 1.2e-4, "", "", false},
          {"nxai_slstm_mixed", 7.1e-5, "", "", false}};
}

std::vector<Case> named(const std::vector<std::string>& names) {
  std::vector<Case> chosen = cases();
  std::erase_if(chosen, [&](const Case& one) {
    return std::find(names.begin(), names.end(), one.name) == names.end();
  });
  return chosen;
}

/// One recorded prompt.
struct Prompt {
  std::vector<TokenId> prompt;
  std::vector<TokenId> greedy;
  std::vector<float> logits;
  std::optional<test::Recorded> logits_fp64;
  std::vector<TokenId> all;  ///< the tokens behind which logits were recorded
};

class HuggingFaceGolden : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string root = GetParam().small ? std::string(GRIDMILL_TEST_DATA) + "/golden"
                                              : std::string(GRIDMILL_GOLDEN_DIR);
    if (root.empty()) GTEST_SKIP() << "needs the full golden data: set GRIDMILL_GOLDEN_DIR";
    folder_ = root + "/hf/" + GetParam().name;
    model_ = test::convert_model(GetParam().model.empty() ? folder_ : GetParam().model,
                                 GetParam().tokenizer);
    backend_ = make_backend("reference", {});
    run_ = std::make_unique<test::ModelRun>(model_.config, *backend_, model_.tensors, 1, 192);
    const h5::File file = h5::File::open(folder_ + "/golden.h5");
    for (int i = 0; file.exists("/p" + std::to_string(i)); ++i) {
      const std::string group = "/p" + std::to_string(i);
      Prompt prompt;
      prompt.prompt = file.dataset(group + "/prompt").read_as<std::int32_t>();
      prompt.greedy = file.dataset(group + "/greedy").read_as<std::int32_t>();
      prompt.logits = file.dataset(group + "/logits").read_as<float>();
      prompt.logits_fp64 = test::read_recorded(file, group + "/logits_fp64");
      prompt.all = prompt.prompt;
      prompt.all.insert(prompt.all.end(), prompt.greedy.begin(), prompt.greedy.end());
      prompt.all.resize(prompt.logits.size() /
                        static_cast<std::size_t>(run_->model->info().vocab_size));
      prompts_.push_back(std::move(prompt));
    }
    ASSERT_FALSE(prompts_.empty());
  }

  std::string folder_;
  test::GoldenModel model_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<test::ModelRun> run_;
  std::vector<Prompt> prompts_;
};

TEST_P(HuggingFaceGolden, LogitsOfAWholePrefillAreThoseOfTransformers) {
  for (const Prompt& prompt : prompts_) {
    run_->state->reset(0);
    run_->allowed_length = static_cast<std::int64_t>(prompt.all.size());
    const std::vector<float> logits = run_->feed(0, prompt.all).flat();
    EXPECT_LE(test::largest_difference(logits, prompt.logits), 5 * GetParam().err32);
    if (prompt.logits_fp64) {
      EXPECT_LE(test::largest_difference(logits, prompt.logits_fp64->values), 5 * GetParam().err32);
    }
  }
}

/// How a row is fed: at once, token by token, in pieces of five.
constexpr std::array<std::size_t, 3> kPieces = {1000, 1, 5};

TEST_P(HuggingFaceGolden, AtOnceTokenByTokenAndInPiecesOfFiveTheLogitsAreThoseOfTransformers) {
  for (const Prompt& prompt : prompts_) {
    run_->state->reset(0);
    run_->allowed_length = static_cast<std::int64_t>(prompt.all.size());
    const std::vector<float> whole = run_->feed(0, prompt.all).flat();
    for (const std::size_t piece : kPieces) {
      run_->state->reset(0);
      const std::vector<float> logits = run_->feed_in_pieces(0, prompt.all, piece).flat();
      EXPECT_LE(test::largest_difference(logits, prompt.logits), 5 * GetParam().err32) << piece;
      EXPECT_EQ(logits, whole) << "in pieces of " << piece << " other bits than at once";
    }
  }
}

TEST_P(HuggingFaceGolden, AtOnceTokenByTokenAndInPiecesOfFiveTheBestIdsAreThoseOfTransformers) {
  const auto vocabulary = static_cast<std::ptrdiff_t>(run_->model->info().vocab_size);
  for (const Prompt& prompt : prompts_) {
    for (const std::size_t piece : kPieces) {
      run_->state->reset(0);
      run_->allowed_length = static_cast<std::int64_t>(prompt.all.size());
      const std::vector<float> logits = run_->feed_in_pieces(0, prompt.all, piece).flat();
      // Row t holds the scores of token t + 1.
      std::vector<TokenId> best;
      auto row =
          logits.begin() + static_cast<std::ptrdiff_t>(prompt.prompt.size() - 1) * vocabulary;
      while (row < logits.end() && best.size() < prompt.greedy.size()) {
        best.push_back(static_cast<TokenId>(std::max_element(row, row + vocabulary) - row));
        row += vocabulary;
      }
      EXPECT_EQ(best, prompt.greedy) << "in pieces of " << piece;
    }
  }
}

/// Models with recorded bfloat16 arithmetic.
class HuggingFaceGoldenBf16 : public HuggingFaceGolden {};

TEST_P(HuggingFaceGoldenBf16, TheLogitsAreNoFurtherOffThanThoseOfTransformersInBf16) {
  const auto backend = make_backend("reference", {.compute_dtype = DType::bf16});
  test::ModelRun run(model_.config, *backend, model_.tensors, 1, 192);
  const h5::File file = h5::File::open(folder_ + "/golden.h5");
  int compared = 0;
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    const Prompt& prompt = prompts_[i];
    const std::string theirs = "/p" + std::to_string(i) + "/logits_bf16_compute";
    if (!prompt.logits_fp64) continue;  // recorded for two prompts of three
    ++compared;
    run.state->reset(0);
    const std::vector<float> logits = run.feed(0, prompt.all).flat();
    const double off =
        test::largest_difference(file.dataset(theirs).read_as<float>(), prompt.logits_fp64->values);
    EXPECT_LE(test::largest_difference(logits, prompt.logits_fp64->values), 1.5 * off);
    EXPECT_GT(test::largest_difference(logits, prompt.logits), 100 * GetParam().err32);
  }
  EXPECT_EQ(compared, 2);
}

TEST_P(HuggingFaceGolden, GreedyIdsAreExactlyThoseOfTransformers) {
  Generator generator(*run_->model, run_->context, run_->parameters,
                      {.slots = static_cast<int>(prompts_.size()), .max_length = 192});
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    Request request;
    request.row = i;
    request.prompt = prompts_[i].prompt;
    request.sampling.temperature = 0;
    request.max_length =
        static_cast<std::int64_t>(prompts_[i].prompt.size() + prompts_[i].greedy.size());
    ASSERT_TRUE(generator.admit(request));
  }
  while (!generator.idle()) {
    for (const Completion& row : generator.step()) {
      const Prompt& prompt = prompts_[row.row];
      EXPECT_EQ(std::vector<TokenId>(row.tokens.begin() + row.prefix_length, row.tokens.end()),
                prompt.greedy);
    }
  }
  EXPECT_EQ(generator.statistics().completed_rows, static_cast<std::int64_t>(prompts_.size()));
}

/// Models that two tp ranks share.
class HuggingFaceGoldenTp : public HuggingFaceGolden {};

TEST_P(HuggingFaceGoldenTp, TwoRanksHaveTheBitsOfOne) {
  for (const Prompt& prompt : prompts_) {
    run_->state->reset(0);
    const std::vector<float> expected = run_->feed(0, prompt.all).flat();
    std::vector<std::vector<float>> found(2);
    test::ThreadGroup(2).run([&](Exchange& tp) {
      const auto backend = make_backend("reference", {});
      const auto model = make_model(model_.config);
      const auto stream = backend->make_stream();
      ExecutionContext context{*backend, *stream, tp};
      test::MemoryParameters parameters(*backend, *model, model_.tensors, tp.size(), tp.rank());
      const auto state = model->make_state(context, 1, 192);
      const RowSpan span{.slot = 0, .tokens = prompt.all, .want = LogitsWanted::all};
      Tensor<float, 2> logits;
      model->forward(context, std::span(&span, 1), *state, parameters, {.logits = &logits});
      found[static_cast<std::size_t>(tp.rank())] = logits.flat();
    });
    EXPECT_EQ(found[0], expected);
    EXPECT_EQ(found[1], expected);
  }
}

/// Models with recorded states.
class HuggingFaceGoldenStates : public HuggingFaceGolden {};

TEST_P(HuggingFaceGoldenStates, AfterThePromptAreThoseOfTransformers) {
  const h5::File file = h5::File::open(folder_ + "/golden.h5");
  const std::int64_t layers = model_.config.at("layers").get<std::int64_t>();
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    const std::string group = "/p" + std::to_string(i) + "/state_after_prompt/";
    run_->state->reset(0);
    run_->feed(0, prompts_[i].prompt);
    const std::vector<float> saved = run_->state->save(0);
    for (const std::size_t piece : kPieces) {
      run_->state->reset(0);
      static_cast<void>(run_->feed_in_pieces(0, prompts_[i].prompt, piece));
      EXPECT_EQ(run_->state->save(0), saved) << "in pieces of " << piece;
    }
    auto from = saved.begin();
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      const std::string block = group + std::to_string(layer);
      const std::vector<float> c = file.dataset(block + "/c").read_as<float>();
      const std::vector<float> n = file.dataset(block + "/n").read_as<float>();
      const std::vector<float> m = file.dataset(block + "/m").read_as<float>();
      // Saved head by head: C, n, m.
      std::vector<float> found_c, found_n, found_m;
      const auto heads = static_cast<std::ptrdiff_t>(m.size());
      for (std::ptrdiff_t head = 0; head < heads; ++head) {
        const auto c_size = static_cast<std::ptrdiff_t>(c.size()) / heads;
        const auto n_size = static_cast<std::ptrdiff_t>(n.size()) / heads;
        found_c.insert(found_c.end(), from, from + c_size);
        found_n.insert(found_n.end(), from + c_size, from + c_size + n_size);
        found_m.push_back(*(from + c_size + n_size));
        from += c_size + n_size + 1;
      }
      // States are of order one; two float32 evaluations of up to 37 steps differ by some 1e-5.
      EXPECT_LE(test::largest_difference(found_c, c), 1e-4) << block;
      EXPECT_LE(test::largest_difference(found_n, n), 1e-4) << block;
      EXPECT_LE(test::largest_difference(found_m, m), 1e-4) << block;
    }
  }
}

std::string case_name(const ::testing::TestParamInfo<Case>& each) { return each.param.name; }

INSTANTIATE_TEST_SUITE_P(Cases, HuggingFaceGolden, ::testing::ValuesIn(cases()), case_name);
INSTANTIATE_TEST_SUITE_P(Cases, HuggingFaceGoldenBf16,
                         ::testing::ValuesIn(named({"smollm_like", "xlstm_bf16_sharded"})),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Cases, HuggingFaceGoldenTp,
                         ::testing::ValuesIn(named({"falcon_h1", "qwen3_next", "qwen3_5_text"})),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Cases, HuggingFaceGoldenStates,
                         ::testing::ValuesIn(named({"tiny_xlstm_shakespeare", "xlstm_bf16_sharded",
                                                    "xlstm_bias_caps", "xlstm_fused",
                                                    "xlstm_single"})),
                         case_name);

}  // namespace
}  // namespace gridmill
