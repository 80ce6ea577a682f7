// The golden cases of plain files on the backend that plain_backend.hpp names: what transformers
// computed, in a build without HDF5.
#include "golden/plain_golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "golden/plain_backend.hpp"
#include "gridmill/generate/generator.hpp"
#include "support/model_run.hpp"
#include "unit/generate/generator_fixture.hpp"

namespace gridmill {
namespace {

constexpr std::int64_t kLongest = 192;

struct Case {
  std::string backend;
  std::string name;
};
void PrintTo(const Case& value, std::ostream* out) { *out << value.backend << " " << value.name; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const std::string& backend : test::plain_backends()) {
    for (const char* name : {"llama_gqa", "xlstm_bias_caps"}) all.push_back({backend, name});
  }
  return all;
}

class PlainGoldens : public ::testing::TestWithParam<Case> {
 protected:
  PlainGoldens()
      : golden_(test::read_plain(std::string(GRIDMILL_TEST_DATA) + "/golden/plain/" +
                                 GetParam().name + ".bin")),
        backend_(test::make_plain_backend(GetParam().backend)) {}

  test::PlainGolden golden_;
  std::unique_ptr<Backend> backend_;
};

TEST_P(PlainGoldens, LogitsAreThoseOfTransformersHoweverARowIsFed) {
  test::ModelRun run(golden_.config, *backend_, golden_.tensors, 1, kLongest);
  const auto vocabulary = static_cast<std::size_t>(run.model->info().vocab_size);
  for (const test::PlainGolden::Prompt& prompt : golden_.prompts) {
    std::vector<TokenId> tokens = prompt.prompt;
    tokens.insert(tokens.end(), prompt.greedy.begin(), prompt.greedy.end());
    tokens.resize(prompt.logits.size() / vocabulary);
    for (const std::size_t piece : {1000U, 1U, 5U}) {
      run.state->reset(0);
      const std::vector<float> logits = run.feed_in_pieces(0, tokens, piece).flat();
      ASSERT_EQ(logits.size(), prompt.logits.size());
      double largest = 0;
      for (std::size_t i = 0; i < logits.size(); ++i) {
        const double difference = std::fabs(double{logits[i]} - double{prompt.logits[i]});
        if (!(difference <= largest)) largest = difference;  // a NaN stays
      }
      // As in hf_golden_test.cpp: another float32 implementation lies within 5 err32.
      EXPECT_LE(largest, 5 * golden_.err32) << "in pieces of " << piece;
    }
  }
}

TEST_P(PlainGoldens, GreedyIdsAreExactlyThoseOfTransformers) {
  test::ModelRun run(golden_.config, *backend_, golden_.tensors, 1, kLongest);
  std::vector<Request> requests;
  for (const test::PlainGolden::Prompt& prompt : golden_.prompts) {
    requests.push_back(
        test::request_of(requests.size(), prompt.prompt,
                         static_cast<std::int64_t>(prompt.prompt.size() + prompt.greedy.size())));
    requests.back().sampling.temperature = 0;
  }
  Generator generator(*run.model, run.context, run.parameters,
                      {.slots = static_cast<int>(requests.size()), .max_length = kLongest});
  const std::map<RowId, Completion> rows = test::run_all(generator, requests);
  for (std::size_t i = 0; i < golden_.prompts.size(); ++i) {
    std::vector<TokenId> expected = golden_.prompts[i].prompt;
    expected.insert(expected.end(), golden_.prompts[i].greedy.begin(),
                    golden_.prompts[i].greedy.end());
    EXPECT_EQ(rows.at(i).tokens, expected) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PlainGoldens, ::testing::ValuesIn(cases()),
                         [](const ::testing::TestParamInfo<Case>& each) {
                           return each.param.backend + "_" + each.param.name;
                         });

}  // namespace
}  // namespace gridmill
