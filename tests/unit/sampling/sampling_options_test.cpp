#include "gridmill/sampling/sampling_options.hpp"

#include <gtest/gtest.h>

#include <string>

#include "gridmill/base/error.hpp"
#include "gridmill/sampling/record_options.hpp"

namespace gridmill {
namespace {

const OptionField& field(const std::string& name) {
  for (const std::span<const OptionField> fields : {sampling_fields(), limit_fields()}) {
    for (const OptionField& one : fields) {
      if (name == one.name) return one;
    }
  }
  throw InternalError("no field " + name);
}

std::string refusal(const Json& record) {
  SamplingOptions options;
  RowLimits limits;
  try {
    static_cast<void>(override_from_record(record, options, limits,
                                           {{"samples_per_prompt", 2}, {"logprobs", true}}));
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(SamplingOptions, AreReadBackFromTheIdentity) {
  SamplingOptions options;
  options.temperature = 0.8F;
  options.top_k = 40;
  options.top_p = 0.95;
  options.min_p = 0.01;
  options.repetition_penalty = 1.1F;
  options.presence_penalty = -0.5F;
  options.frequency_penalty = 0.25F;
  options.logit_bias = {{3, 1.5F}, {7, -2.0F}};
  options.banned_token_ids = {9, 1};
  options.allowed_token_ids = {3, 4};
  options.seed = ~std::uint64_t{0};
  RowLimits limits;
  limits.max_new_tokens = 12;
  limits.min_new_tokens = 3;
  limits.eod_token_ids = {2};
  limits.stop_token_ids = {5};
  limits.stop = {"\n", "end"};
  Json job = Json::object();
  write_identity(options, job);
  write_identity(limits, job);
  const Json again = Json::parse(job.dump());
  EXPECT_EQ(read_sampling_identity(again), options);
  EXPECT_EQ(read_limits_identity(again), limits);
}

TEST(SamplingOptions, WriteNothingThatOlderFilesDoNotKnowWhileItIsOff) {
  Json job = Json::object();
  write_identity(SamplingOptions{}, job);
  write_identity(RowLimits{}, job);
  EXPECT_EQ(job.dump(), R"({"eod_token_ids":[],"max_new_tokens":0,"seed":0,"temperature":1.0})");
}

TEST(SamplingOptions, TextsOutOfRangeNameTheOption) {
  SamplingOptions options;
  const auto message = [&](const std::string& name, const std::string& text) -> std::string {
    try {
      set_from_text(options, field(name), {text});
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("top_p", "0").find("--top-p is '0'"), std::string::npos);
  for (const char* text : {"1.0001", "nan", "inf", "", "x", "0.5x", "1e999"}) {
    EXPECT_NE(message("top_p", text), "") << text;
  }
  EXPECT_EQ(message("top_k", "-1"), "");
  EXPECT_EQ(options.top_k, 0);
  EXPECT_NE(message("top_k", "2.5"), "");
  EXPECT_NE(message("repetition_penalty", "1e-46"), "") << "0 as fp32";
  EXPECT_NE(message("logit_bias", "a=1"), "");
  EXPECT_NE(message("logit_bias", "-1=1"), "");
  EXPECT_NE(message("banned_token_ids", "1,,2"), "");
  EXPECT_NE(message("seed", "18446744073709551616"), "");
  EXPECT_NE(message("seed", "-1"), "");
}

TEST(SamplingOptions, IdsAreCheckedAgainstTheVocabulary) {
  SamplingOptions options;
  RowLimits limits;
  options.allowed_token_ids = {1, 2};
  options.banned_token_ids = {2, 1, 3};
  EXPECT_THROW(check_against_vocabulary(options, limits, 10, false), UsageError);
  options.banned_token_ids = {2};
  EXPECT_NO_THROW(check_against_vocabulary(options, limits, 10, false));
  limits.stop_token_ids = {10};
  EXPECT_THROW(check_against_vocabulary(options, limits, 10, true), UsageError);
  limits.stop_token_ids.clear();
  options.top_p = 0.5;
  EXPECT_THROW(check_against_vocabulary(options, limits, 524'289, false), UsageError);
}

TEST(RecordOptions, ReplaceThoseOfTheJob) {
  SamplingOptions options;
  options.top_k = 7;
  RowLimits limits;
  limits.stop = {"a", "b"};
  limits.eod_token_ids = {2};
  const auto seed = override_from_record(
      Json::parse(R"({"temperature": 0.5, "stop": "x", "ignore_eos": true, "seed": 4,
                      "max_tokens": 9, "min_tokens": 2, "top_p": null, "n": 2, "model": "m",
                      "stream": false, "logit_bias": {"5": -1}})"),
      options, limits, {{"samples_per_prompt", 2}, {"logprobs", false}});
  EXPECT_EQ(seed, 4U);
  EXPECT_EQ(options.temperature, 0.5F);
  EXPECT_EQ(options.top_k, 7);
  EXPECT_EQ(options.top_p, 1.0);
  EXPECT_EQ(options.logit_bias, (std::map<TokenId, float>{{5, -1.0F}}));
  EXPECT_EQ(limits.stop, std::vector<std::string>{"x"});
  EXPECT_TRUE(limits.eod_token_ids.empty());
  EXPECT_EQ(limits.max_new_tokens, 9);
  EXPECT_EQ(limits.min_new_tokens, 2);
}

TEST(RecordOptions, WhatIsUnknownOrOutOfRangeIsNamed) {
  EXPECT_EQ(refusal({{"logprobs", true}}), "");
  EXPECT_EQ(refusal({{"top_logprobs", 0}}), "");
  for (const auto& [name, value] : {std::pair<const char*, Json>{"temprature", 1},
                                    {"temperature", -1},
                                    {"temperature", "1"},
                                    {"top_k", 1.5},
                                    {"stop", {"", "a"}},
                                    {"stop", 3},
                                    {"n", 3},
                                    {"stream", true},
                                    {"top_logprobs", 4},
                                    {"ignore_eos", 1},
                                    {"max_tokens", 0},
                                    {"seed", -1},
                                    {"logit_bias", {1, 2}}}) {
    EXPECT_NE(refusal({{name, value}}).find(name), std::string::npos) << name;
  }
  EXPECT_NE(refusal(Json::array()), "");
}

TEST(RecordOptions, AreFoundAtTheEndOfTheirPath) {
  const std::string record = R"({"body": {"sampling": {"top_k": 3}}, "sampling": 1})";
  EXPECT_EQ(find_record_options(record, "body.sampling"), Json::parse(R"({"top_k": 3})"));
  EXPECT_EQ(find_record_options(record, "sampling"), Json(1));
  EXPECT_TRUE(find_record_options(record, "other").is_null());
  EXPECT_TRUE(find_record_options(record, "sampling.x").is_null());
}

}  // namespace
}  // namespace gridmill
