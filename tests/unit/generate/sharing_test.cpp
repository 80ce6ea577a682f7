#include <gtest/gtest.h>

#include <array>
#include <ostream>
#include <string>
#include <vector>

#include "support/thread_exchange.hpp"
#include "unit/generate/pool_fixture.hpp"

// What rows have in common is computed once, and no row shows it. Compiled with heavy assertions:
// no page may be lost.
namespace gridmill {
namespace {

using test::kLongestRow;
using test::kPage;
using test::kRowPages;
using test::ModelRun;
using test::request_of;
using test::walk;

std::vector<TokenId> joined(std::vector<TokenId> a, const std::vector<TokenId>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// `prompts` prompts of `own` tokens behind `common` ones, `samples` rows each.
std::vector<Request> job_of(std::size_t prompts, std::size_t samples, std::size_t common,
                            std::size_t own, std::int64_t fresh = 6) {
  std::vector<Request> requests;
  for (std::size_t prompt = 0; prompt < prompts; ++prompt) {
    const std::vector<TokenId> tokens = joined(walk(common, 300, 1), walk(own, 300, 100 + prompt));
    for (std::size_t sample = 0; sample < samples; ++sample) {
      Request request =
          request_of(requests.size(), tokens, static_cast<std::int64_t>(tokens.size()) + fresh);
      request.prompt_index = static_cast<PromptId>(prompt);
      request.sample_index = static_cast<std::uint32_t>(sample);
      request.later_samples = static_cast<std::uint32_t>(samples - 1 - sample);
      request.sampling.temperature = 1.0F;
      requests.push_back(std::move(request));
    }
  }
  return requests;
}

/// Rows of all kinds, most of which begin like others.
std::vector<Request> mixed_job(std::uint32_t seed) {
  std::vector<Request> requests = test::random_requests(seed, 16);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const auto random = philox4x32({static_cast<std::uint32_t>(i), 1, 0, 0}, {seed, 9});
    Request& request = requests[i];
    if (random[0] % 4 != 0) {
      // One of two starts, or a part of it.
      std::vector<TokenId> start = walk(150, 300, 1 + random[1] % 2);
      start.resize(60 + random[2] % 90);
      request.prompt = joined(start, walk(random[3] % 20, 300, i));
    }
    if (random[0] % 5 == 1 && i > 0) {
      request.prompt = requests[i - 1].prompt;
      requests[i - 1].later_samples = 1;
    }
    request.max_length = std::min<std::int64_t>(
        kLongestRow, static_cast<std::int64_t>(request.prompt.size()) + 1 + random[1] % 40);
    if (request.logprobs && random[2] % 3 == 0) request.top_logprobs = 3;
    if (request.logprobs && random[2] % 5 == 0) {
      request.first_logprob = static_cast<std::int64_t>(request.prompt.size());
    }
  }
  return requests;
}

struct Setting {
  const char* backend;
  const char* model;
  friend void PrintTo(const Setting& setting, std::ostream* out) {
    *out << setting.backend << "_" << setting.model;
  }
};

Json config_of(const std::string& model) {
  for (const test::TinyModel& tiny : test::tiny_models()) {
    if (tiny.name != model) continue;
    Json config = tiny.config;
    if (config.contains("max_length")) config["max_length"] = kLongestRow;
    return config;
  }
  throw InternalError("no model " + model);
}

class Sharing : public ::testing::TestWithParam<Setting> {
 protected:
  Generator make(int slots, int kept, std::int64_t pool_positions = 0,
                 std::int64_t kept_positions = 0, std::int64_t pass_rows = 512) {
    return {*run_.model,
            run_.context,
            run_.parameters,
            {.slots = slots,
             .max_length = kLongestRow,
             .pool_positions = pool_positions,
             .pass_rows = pass_rows,
             .sharing = {.enabled = true, .kept = kept, .kept_positions = kept_positions}}};
  }
  std::map<RowId, Completion> alone(const std::vector<Request>& requests) {
    Generator generator(*run_.model, run_.context, run_.parameters,
                        {.slots = 3, .max_length = kLongestRow});
    return test::run_claims(generator, requests);
  }
  void expect_no_page(Generator& generator) {
    generator.forget_prefixes();
    EXPECT_EQ(generator.pages_in_use(), 0);
  }
  std::unique_ptr<Backend> backend_ = make_backend(GetParam().backend, {});
  ModelRun run_{config_of(GetParam().model), *backend_, 1, 8};
};

TEST_P(Sharing, SamplesOfAPromptComputeItOnce) {
  const std::vector<Request> requests = job_of(1, 8, 90, 10);
  Generator generator = make(8, 2);
  test::expect_same_rows(test::run_claims(generator, requests), alone(requests));
  EXPECT_EQ(generator.statistics().prompt_tokens, 99 + 8) << "and the last token of each";
  EXPECT_EQ(generator.statistics().shared_tokens, 7 * 99);
  expect_no_page(generator);
}

TEST_P(Sharing, AGroupLargerThanTheSlotsComputesItsPromptOnce) {
  const std::vector<Request> requests = job_of(2, 9, 0, 70);
  for (const int slots : {1, 2, 4}) {
    Generator generator = make(slots, 2);
    test::expect_same_rows(test::run_claims(generator, requests), alone(requests));
    EXPECT_EQ(generator.statistics().shared_tokens, 2 * 8 * 69) << slots;
    expect_no_page(generator);
  }
}

TEST_P(Sharing, RowsInFlightShareWithoutAnythingKept) {
  const std::vector<Request> requests = job_of(6, 1, 100, 20);
  Generator generator = make(6, 0);
  test::expect_same_rows(test::run_claims(generator, requests), alone(requests));
  EXPECT_GE(generator.statistics().shared_tokens, 5 * 100);
  EXPECT_LE(generator.statistics().shared_tokens, 5 * 103);
  expect_no_page(generator);
}

TEST_P(Sharing, ACommonStartIsComputedOnceHoweverLateItsRowsCome) {
  const std::vector<Request> requests = job_of(20, 1, 100, 20);
  Generator generator = make(2, 4);
  test::expect_same_rows(test::run_claims(generator, requests), alone(requests));
  EXPECT_GE(generator.statistics().shared_tokens, 19 * 100);
  expect_no_page(generator);
}

TEST_P(Sharing, RowsThatComeOneByOneShareFromTheSecondOrThirdOn) {
  const std::vector<Request> requests = job_of(8, 1, 100, 20);
  Generator generator = make(1, 4);
  test::expect_same_rows(test::run_claims(generator, requests), alone(requests));
  EXPECT_GE(generator.statistics().shared_tokens, 6 * 100);
  expect_no_page(generator);
}

TEST_P(Sharing, NothingInCommonIsNothingShared) {
  const std::vector<Request> requests = job_of(9, 1, 5, 60);
  Generator generator = make(4, 4);
  test::expect_same_rows(test::run_claims(generator, requests), alone(requests));
  EXPECT_EQ(generator.statistics().shared_tokens, 0);
}

TEST_P(Sharing, LogProbabilitiesOfSharedTokensAreThoseOfTheRowAlone) {
  std::vector<Request> requests = job_of(4, 3, 100, 20);
  for (Request& request : requests) {
    request.logprobs = true;
    request.top_logprobs = 2;
  }
  Generator generator = make(5, 4);
  const auto found = test::run_claims(generator, requests);
  const auto expected = alone(requests);
  test::expect_same_rows(found, expected);
  for (const auto& [row, completion] : expected) EXPECT_EQ(found.at(row).top, completion.top);
  EXPECT_GT(generator.statistics().shared_tokens, 9 * 100);
}

TEST_P(Sharing, AFailingRowHarmsNoSibling) {
  std::vector<Request> requests = job_of(1, 6, 0, 80);
  // No token is allowed: the row fails when it draws.
  requests[0].sampling.allowed_token_ids = {7};
  requests[0].sampling.banned_token_ids = {7};
  requests[3].sampling.allowed_token_ids = {7};
  requests[3].sampling.banned_token_ids = {7};
  Generator generator = make(4, 2);
  const auto found = test::run_claims(generator, requests);
  const auto expected = alone(requests);
  test::expect_same_rows(found, expected);
  EXPECT_EQ(found.at(0).reason, FinishReason::error);
  EXPECT_EQ(found.at(3).reason, FinishReason::error);
  EXPECT_EQ(found.at(1).reason, FinishReason::length);
  EXPECT_GE(generator.statistics().shared_tokens, 4 * 79);
  expect_no_page(generator);
}

class SharedPages : public Sharing {};

TEST_P(SharedPages, AreKeptUpToTheLimit) {
  const std::vector<Request> requests = job_of(4, 3, 0, 130);
  Generator generator = make(1, 8, 0, 3 * kPage);
  auto next = requests.begin();
  while (next != requests.end() || !generator.idle()) {
    if (generator.free_slots() > 0 && next != requests.end()) {
      EXPECT_TRUE(generator.admit(*next++));
    }
    static_cast<void>(generator.step());
    EXPECT_LE(generator.pages_in_use(), 6 * 2) << "a row of 3 pages and a prefix, in two caches";
  }
  EXPECT_EQ(generator.statistics().shared_tokens, 4 * 2 * 129);
}

struct Limits {
  int slots;
  int kept;
  std::int64_t pool_pages;
  std::int64_t pass_rows;
};
constexpr std::array<Limits, 5> kLimits = {{{5, 4, 0, 512},
                                            {7, 0, 0, 50},
                                            {6, 2, 2 * kRowPages, 90},
                                            {4, 8, kRowPages, 512},
                                            {1, 1, 0, 7}}};

class SharedRows : public Sharing {};

TEST_P(SharedRows, HaveTheBitsOfRowsAlone) {
  for (std::uint32_t seed = 1; seed <= 2; ++seed) {
    std::vector<Request> requests = mixed_job(seed);
    const auto expected = alone(requests);
    for (const bool replayed : {false, true}) {
      if (replayed) test::give_replays(requests, expected);
      for (const Limits& limits : kLimits) {
        Generator generator =
            make(limits.slots, limits.kept, limits.pool_pages * kPage, 0, limits.pass_rows);
        test::expect_same_rows(test::run_claims(generator, requests), expected);
        EXPECT_GT(generator.statistics().shared_tokens, 0);
        expect_no_page(generator);
      }
    }
  }
}

std::string name_of_setting(const ::testing::TestParamInfo<Setting>& each) {
  return std::string(each.param.backend) + "_" + each.param.model;
}

constexpr std::array<Setting, 10> kSettings = {{{"reference", "llama"},
                                                {"cpu", "llama"},
                                                {"cpu", "sandwich"},
                                                {"cpu", "hybrid"},
                                                {"reference", "xlstm"},
                                                {"cpu", "xlstm"},
                                                {"cpu", "xlstm_older_conv"},
                                                {"reference", "mamba"},
                                                {"reference", "delta"},
                                                {"cpu", "beside"}}};
/// Of these, the models with a KV cache.
constexpr std::size_t kWithPages = 4;
INSTANTIATE_TEST_SUITE_P(Models, SharedPages,
                         ::testing::ValuesIn(kSettings.begin(), kSettings.begin() + kWithPages),
                         name_of_setting);
INSTANTIATE_TEST_SUITE_P(Models, Sharing, ::testing::ValuesIn(kSettings), name_of_setting);
INSTANTIATE_TEST_SUITE_P(Models, SharedRows, ::testing::ValuesIn(kSettings), name_of_setting);

TEST(SharingTpGroup, SharesTheSameOnEveryRank) {
  const std::vector<Request> requests = mixed_job(5);
  const auto run_on = [&](Exchange& tp, bool sharing, GeneratorStatistics& statistics) {
    const auto backend = make_backend("reference", {});
    const auto model = make_model(test::pool_config());
    const auto stream = backend->make_stream();
    ExecutionContext context{*backend, *stream, tp};
    test::MemoryParameters parameters(*backend, *model, test::random_tensors(*model, 1), tp.size(),
                                      tp.rank());
    Generator generator(*model, context, parameters,
                        {.slots = 5,
                         .max_length = kLongestRow,
                         .pool_positions = 2 * kRowPages * kPage,
                         .sharing = {.enabled = sharing, .kept = 3}});
    std::map<RowId, Completion> rows = test::run_claims(generator, requests);
    statistics = generator.statistics();
    return rows;
  };
  NoExchange alone;
  std::array<GeneratorStatistics, 3> statistics;
  std::array<std::map<RowId, Completion>, 2> found;
  const auto expected = run_on(alone, false, statistics[2]);
  test::ThreadGroup(2).run([&](Exchange& tp) {
    const auto rank = static_cast<std::size_t>(tp.rank());
    found[rank] = run_on(tp, true, statistics[rank]);
  });
  EXPECT_GT(statistics[0].shared_tokens, 0);
  EXPECT_EQ(statistics[0].shared_tokens, statistics[1].shared_tokens);
  EXPECT_EQ(statistics[0].passes, statistics[1].passes);
  for (const std::size_t rank : {0U, 1U}) test::expect_same_rows(found[rank], expected);
}

}  // namespace
}  // namespace gridmill
