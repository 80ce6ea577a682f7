// Sampling options of `gridmill generate`: a test each, named as the option (see
// generate_options_test.cpp), and what they do together.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/results/result_store.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;

std::vector<StoredRow> rows_of(const std::vector<std::string>& options) {
  const ProgramResult result = cli().generate(options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const ResultFile file = cli().result();
  std::vector<StoredRow> rows;
  for (RowId row = 0; row < file.layout().shape.rows; ++row) rows.push_back(file.read_row(row));
  return rows;
}

std::vector<std::vector<TokenId>> tokens_of(const std::vector<std::string>& options) {
  std::vector<std::vector<TokenId>> tokens;
  for (const StoredRow& row : rows_of(options)) tokens.push_back(row.tokens);
  return tokens;
}

/// Generated tokens of all rows.
std::multiset<TokenId> generated_ids(const std::vector<std::string>& options) {
  std::multiset<TokenId> ids;
  for (const StoredRow& row : rows_of(options)) {
    ids.insert(row.tokens.begin() + row.record.prefix_length, row.tokens.end());
  }
  return ids;
}

std::vector<std::string> drawn(std::vector<std::string> options) {
  options.insert(options.end(), {"--temperature", "1", "--max-length", "40"});
  return options;
}

/// Exit code 64 and a message that names all of `names`.
void expect_refused(const std::vector<std::string>& options,
                    const std::vector<std::string>& names) {
  const ProgramResult result = cli().generate(options);
  EXPECT_EQ(result.exit_code, 64) << result.err;
  for (const std::string& name : names) {
    EXPECT_NE(result.err.find(name), std::string::npos) << result.err;
  }
}

TEST(GenerateOption, top_k) {
  EXPECT_EQ(tokens_of(drawn({"--top-k", "1"})), tokens_of({"--max-length", "40"})) << "greedy";
  EXPECT_NE(tokens_of(drawn({"--top-k", "5"})), tokens_of(drawn({"--top-k", "1"})));
  EXPECT_EQ(tokens_of(drawn({"--top-k", "-1"})), tokens_of(drawn({})));
  expect_refused({"--top-k", "-2"}, {"--top-k"});
}

TEST(GenerateOption, top_p) {
  EXPECT_EQ(tokens_of(drawn({"--top-p", "1e-9"})), tokens_of({"--max-length", "40"})) << "greedy";
  EXPECT_NE(tokens_of(drawn({"--top-p", "0.3"})), tokens_of(drawn({})));
  EXPECT_EQ(tokens_of(drawn({"--top-p", "1"})), tokens_of(drawn({})));
  expect_refused({"--top-p", "0"}, {"--top-p", "at most 1"});
}

TEST(GenerateOption, min_p) {
  EXPECT_EQ(tokens_of(drawn({"--min-p", "1"})), tokens_of({"--max-length", "40"})) << "greedy";
  EXPECT_NE(tokens_of(drawn({"--min-p", "0.5"})), tokens_of(drawn({})));
  expect_refused({"--min-p", "1.5"}, {"--min-p"});
}

TEST(GenerateOption, repetition_penalty) {
  const auto plain = generated_ids({"--max-length", "60"});
  const auto varied = generated_ids({"--max-length", "60", "--repetition-penalty", "3"});
  EXPECT_GT(std::set<TokenId>(varied.begin(), varied.end()).size(),
            std::set<TokenId>(plain.begin(), plain.end()).size());
  expect_refused({"--repetition-penalty", "0"}, {"--repetition-penalty"});
}

TEST(GenerateOption, presence_penalty) {
  // A token that the row has generated never comes again.
  for (const StoredRow& row : rows_of({"--max-length", "60", "--presence-penalty", "1e6"})) {
    const std::vector<TokenId> ids(row.tokens.begin() + row.record.prefix_length, row.tokens.end());
    EXPECT_EQ(std::set<TokenId>(ids.begin(), ids.end()).size(), ids.size());
  }
}

TEST(GenerateOption, frequency_penalty) {
  const auto plain = tokens_of({"--max-length", "60"});
  EXPECT_NE(tokens_of({"--max-length", "60", "--frequency-penalty", "0.7"}), plain);
  EXPECT_EQ(tokens_of({"--max-length", "60", "--frequency-penalty", "0"}), plain);
  expect_refused({"--frequency-penalty", "nan"}, {"--frequency-penalty"});
}

TEST(GenerateOption, logit_bias) {
  const auto ids = generated_ids({"--logit-bias", "300=1e6", "--max-length", "30"});
  EXPECT_EQ(ids.count(300), ids.size());
  expect_refused({"--logit-bias", "300"}, {"--logit-bias"});
  expect_refused({"--logit-bias", "99999=1"}, {"--logit-bias", "99999"});
}

TEST(GenerateOption, banned_token_ids) {
  const auto plain = generated_ids({"--max-length", "40"});
  ASSERT_FALSE(plain.empty());
  const TokenId first = *plain.begin();
  const auto without =
      generated_ids({"--max-length", "40", "--banned-token-ids", std::to_string(first)});
  EXPECT_EQ(without.count(first), 0U);
  expect_refused({"--banned-token-ids", "7", "--allowed-token-ids", "7,8"},
                 {"--banned-token-ids", "--allowed-token-ids"});
}

TEST(GenerateOption, allowed_token_ids) {
  const auto ids =
      generated_ids(drawn({"--allowed-token-ids", "300,301", "--allowed-token-ids", "302"}));
  EXPECT_EQ(ids.count(300) + ids.count(301) + ids.count(302), ids.size());
  EXPECT_GT(std::set<TokenId>(ids.begin(), ids.end()).size(), 1U);
}

TEST(GenerateOption, stop_token_ids) {
  const auto free = rows_of({"--max-length", "40"});
  const TokenId stop = free[0].tokens.back();
  const auto rows =
      rows_of({"--max-length", "40", "--stop-token-ids", "3," + std::to_string(stop)});
  EXPECT_EQ(rows[0].tokens.back(), stop);
  EXPECT_EQ(rows[0].record.finish_reason, static_cast<std::uint16_t>(FinishReason::stop));
  EXPECT_EQ(rows[0].record.stop_index, 2U);
  EXPECT_EQ(cli().result().layout().shape.version, 2U);
}

TEST(GenerateOption, stop) {
  const auto rows = rows_of({"--max-length", "60", "--stop", "zebra!", "--stop", " the"});
  int stopped = 0;
  for (const StoredRow& row : rows) {
    if (row.record.finish_reason != static_cast<std::uint16_t>(FinishReason::stop)) continue;
    ++stopped;
    EXPECT_EQ(row.record.stop_index, 2U);
  }
  EXPECT_GT(stopped, 0);
  expect_refused({"--stop", ""}, {"--stop"});
}

TEST(GenerateOption, min_new_tokens) {
  const auto free = rows_of({"--max-length", "40"});
  const std::string stop = std::to_string(free[0].tokens[free[0].record.prefix_length]);
  const auto rows =
      rows_of({"--max-length", "40", "--stop-token-ids", stop, "--min-new-tokens", "5"});
  for (const StoredRow& row : rows) EXPECT_GE(row.record.length - row.record.prefix_length, 5U);
  expect_refused({"--min-new-tokens", "9", "--max-new-tokens", "8"},
                 {"--min-new-tokens", "--max-new-tokens"});
}

TEST(GenerateOption, ignore_eos) {
  const auto never = tokens_of({"--max-length", "40", "--eod-token-id=-1"});
  EXPECT_EQ(tokens_of({"--max-length", "40", "--ignore-eos"}), never);
  expect_refused({"--ignore-eos", "--eod-token-id", "2"}, {"--ignore-eos", "--eod-token-id"});
}

TEST(GenerateOption, top_logprobs) {
  const auto rows = rows_of({"--top-logprobs", "3", "--max-length", "30"});
  const StoredRow& row = rows[0];
  ASSERT_EQ(row.top_ids.size(), 3 * row.tokens.size());
  ASSERT_EQ(row.logprobs.size(), row.tokens.size());
  for (std::size_t t = row.record.prefix_length; t < row.tokens.size(); ++t) {
    // Greedy: the drawn token is the most likely one.
    EXPECT_EQ(row.top_ids[3 * t], row.tokens[t]);
    EXPECT_EQ(row.top_logprobs[3 * t], row.logprobs[t]);
    EXPECT_GE(row.top_logprobs[3 * t], row.top_logprobs[3 * t + 1]);
    EXPECT_GE(row.top_logprobs[3 * t + 1], row.top_logprobs[3 * t + 2]);
  }
  EXPECT_EQ(row.top_ids[0], 0);
  expect_refused({"--top-logprobs", "1025"}, {"--top-logprobs"});
}

TEST(GenerateOption, logprobs_for) {
  const auto all = rows_of({"--logprobs", "--max-length", "30"});
  const auto some = rows_of({"--logprobs", "--max-length", "30", "--logprobs-for", "generated"});
  for (std::size_t r = 0; r < all.size(); ++r) {
    ASSERT_EQ(all[r].tokens, some[r].tokens);
    for (std::size_t t = 0; t < all[r].tokens.size(); ++t) {
      EXPECT_EQ(some[r].logprobs[t], t < all[r].record.prefix_length ? 0.0F : all[r].logprobs[t]);
    }
  }
}

TEST(GenerateOption, sampling_field) {
  cli().folder().write("overrides.jsonl",
                       R"({"prompt": "Ben", "body": {"options": {"max_tokens": 2}}})"
                       "\n"
                       R"({"prompt": "Ben", "body": {"options": {"max_tokens": 4, "top_p": null}}})"
                       "\n");
  const auto rows = rows_of({"--prompts", "overrides.jsonl", "--sampling-field", "body.options"});
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].record.length - rows[0].record.prefix_length, 2U);
  EXPECT_EQ(rows[1].record.length - rows[1].record.prefix_length, 4U);
}

TEST(RecordOverrides, GiveARowWhatItsOptionsGiveAlone) {
  cli().folder().write(
      "mixed.jsonl",
      R"({"prompt": "Ben", "sampling": {"temperature": 0.7, "top_k": 5, "seed": 3}})"
      "\n"
      R"({"prompt": "The sun", "sampling": {"repetition_penalty": 1.5, "stop": " the"}})"
      "\n"
      R"({"prompt": "Ben", "sampling": {"temperature": 0.7, "top_k": 5, "seed": 3}})"
      "\n");
  const auto rows = rows_of({"--prompts", "mixed.jsonl", "--max-length", "40"});
  EXPECT_EQ(rows[0].tokens, rows[2].tokens) << "a record's seed does not depend on its place";
  cli().folder().write("one.jsonl", R"({"prompt": "Ben"})"
                                    "\n");
  EXPECT_EQ(tokens_of({"--prompts", "one.jsonl", "--max-length", "40", "--temperature", "0.7",
                       "--top-k", "5", "--seed", "3"})[0],
            rows[0].tokens);
}

TEST(RecordOverrides, AFieldThatIsNoOptionFailsItsRow) {
  cli().folder().write("bad.jsonl", R"({"prompt": "Ben", "sampling": {"temprature": 1}})"
                                    "\n"
                                    R"({"prompt": "Ben", "sampling": {"top_p": 1.5}})"
                                    "\n"
                                    R"({"prompt": "Ben", "sampling": {"stop_token_ids": [99999]}})"
                                    "\n");
  EXPECT_EQ(cli().generate({"--prompts", "bad.jsonl"}).exit_code, 1);
  const ResultFile file = cli().result();
  EXPECT_NE(file.read_row(0).failure.find("temprature"), std::string::npos);
  EXPECT_NE(file.read_row(1).failure.find("top_p"), std::string::npos);
  EXPECT_NE(file.read_row(2).failure.find("stop_token_ids"), std::string::npos);
}

/// Every option at once, on rows with options of their own.
std::vector<std::string> every_option() {
  cli().folder().write(
      "every.jsonl",
      R"({"prompt": "Ben"})"
      "\n"
      R"({"prompt": "The sun was", "sampling": {"top_p": 0.5, "top_k": 0, "seed": 8}})"
      "\n"
      R"({"prompt": "Once upon a time", "sampling": {"temperature": 0, "stop": [" the", "."]}})"
      "\n"
      R"({"prompt": "Lily", "sampling": {"logit_bias": {"300": 4}, "min_p": 0, "max_tokens": 9}})"
      "\n");
  return {"--prompts",
          "every.jsonl",
          "--max-length",
          "60",
          "--temperature",
          "0.9",
          "--top-k",
          "40",
          "--top-p",
          "0.93",
          "--min-p",
          "0.001",
          "--seed",
          "11",
          "--samples-per-prompt",
          "3",
          "--frequency-penalty",
          "0.2",
          "--presence-penalty",
          "0.1",
          "--banned-token-ids",
          "290,291",
          "--repetition-penalty",
          "1.2",
          "--stop",
          " and",
          "--stop-token-ids",
          "310",
          "--min-new-tokens",
          "4",
          "--logit-bias",
          "305=-2",
          "--top-logprobs",
          "4"};
}

std::vector<std::string> joined(std::vector<std::string> options,
                                const std::vector<std::string>& more) {
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

TEST(EveryOption, WritesTheSameBytesOnEveryGridAndBackend) {
  ASSERT_EQ(cli().generate(every_option()).exit_code, 0);
  const std::string bytes = test::slurp(cli().file("out.h5"));
  const auto same = [&](const std::vector<std::string>& grid, int ranks) {
    const ProgramResult result = cli().generate(joined(every_option(), grid), ranks);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return test::slurp(cli().file("out.h5")) == bytes;
  };
  EXPECT_TRUE(same({"--tp", "2"}, 2));
  EXPECT_TRUE(same({"--dp", "2", "--fsdp", "2"}, 4));
  EXPECT_TRUE(same({"--kernel-target", "avx2", "--backend", "cpu", "--slots", "3"}, 1));
  EXPECT_TRUE(same({"--backend", "reference"}, 1));
}

TEST(EveryOption, IsVerifiedAndResumed) {
  ASSERT_EQ(cli().generate(every_option()).exit_code, 0);
  const std::string bytes = test::slurp(cli().file("out.h5"));
  const ProgramResult verified =
      cli().run({"verify", "out.h5", "--model", "stories.h5", "--prompts", "every.jsonl"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out << verified.err;
  cli().remove_output();
  const ProgramResult stopped = cli().generate_again(
      joined(every_option(), {"--time-limit", "50ms", "--slots", "1", "--threads", "1"}));
  EXPECT_TRUE(stopped.exit_code == 75 || stopped.exit_code == 0) << stopped.err;
  ASSERT_EQ(cli().generate_again(joined(every_option(), {"--tp", "2"}), 2).exit_code, 0);
  EXPECT_TRUE(test::slurp(cli().file("out.h5")) == bytes);
}

TEST(EveryOption, AFlippedTokenIsFound) {
  ASSERT_EQ(cli().generate(every_option()).exit_code, 0);
  const ResultLayout layout = cli().result().layout();
  constexpr RowId kRow = 4;  // of the record that overrides top_p, top_k and seed
  {
    const auto file = open_row_file(cli().file("out.h5"), true);
    StoredRow row = read_row(*file, layout, kRow);
    TokenId& token = row.tokens[row.record.prefix_length + 1];
    token = token == 300 ? 301 : 300;
    // Under its own checksum, as if a kernel had been wrong.
    row.record.payload_crc = payload_crc({.tokens = row.tokens,
                                          .logprobs = row.logprobs,
                                          .top_ids = row.top_ids,
                                          .top_logprobs = row.top_logprobs});
    row.record = sealed(row.record);
    file->write(layout.tokens_at(kRow), std::as_bytes(std::span(row.tokens)));
    file->write(layout.record_at(kRow), std::as_bytes(std::span(&row.record, 1)));
  }
  const ProgramResult verified =
      cli().run({"verify", "out.h5", "--model", "stories.h5", "--prompts", "every.jsonl", "--all"});
  EXPECT_EQ(verified.exit_code, 1) << verified.err;
  EXPECT_EQ(verified.out.rfind("row 4: token ", 0), 0U) << verified.out;
  EXPECT_NE(verified.out.find("1 differ"), std::string::npos) << verified.out;
}

TEST(GenerateOption, generation_config) {
  // The shipped model with settings of its own.
  const std::string source = std::string(GRIDMILL_MODELS_DIR) + "/tiny-xlstm-shakespeare";
  const std::filesystem::path folder = cli().file("with-settings");
  std::filesystem::copy(source, folder);
  std::filesystem::permissions(folder / "generation_config.json",
                               std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  cli().folder().write("with-settings/generation_config.json",
                       R"({"eos_token_id": 5, "do_sample": true, "temperature": 0.5, "top_k": 3,
                           "max_new_tokens": 6, "top_p": null})");
  ASSERT_EQ(cli().run({"convert", folder.string(), "settings.h5"}).exit_code, 0);
  const auto job_of = [](std::vector<std::string> options, std::string* said = nullptr) {
    options.insert(options.begin(),
                   {"generate", "--model", "settings.h5", "--prompts", "prompts.txt", "--output",
                    "out.h5", "--max-length", "30", "--threads", "1", "--progress", "none"});
    cli().remove_output();
    const ProgramResult result = cli().run(options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    if (said != nullptr) *said = result.err;
    return cli().result().job().fields;
  };
  std::string said;
  const Json taken = job_of({"--generation-config", "all"}, &said);
  EXPECT_EQ(taken.at("top_k"), 3);
  EXPECT_EQ(taken.at("temperature"), 0.5);
  EXPECT_EQ(taken.at("max_new_tokens"), 6);
  EXPECT_EQ(taken.at("eod_token_ids"), Json::array({5}));
  EXPECT_NE(said.find("temperature 0.5, top_k 3, max_new_tokens 6"), std::string::npos) << said;

  const Json mixed = job_of({"--generation-config", "all", "--top-k", "7", "--temperature", "0"});
  EXPECT_EQ(mixed.at("top_k"), 7) << "what is given wins";
  EXPECT_EQ(mixed.at("temperature"), 0);
  EXPECT_EQ(mixed.at("max_new_tokens"), 6);

  const Json ends_only = job_of({"--temperature", "1"}, &said);
  EXPECT_EQ(ends_only.count("top_k"), 0U);
  EXPECT_EQ(ends_only.at("temperature"), 1);
  EXPECT_EQ(ends_only.at("eod_token_ids"), Json::array({5}));
  EXPECT_NE(said.find("not in effect with: top_k 3, max_new_tokens 6"), std::string::npos) << said;

  const Json nothing = job_of({"--generation-config", "none"}, &said);
  EXPECT_EQ(nothing.at("eod_token_ids"), Json::array({0})) << "that of config.json";
  EXPECT_EQ(said.find("not in effect"), std::string::npos) << said;
  expect_refused({"--generation-config", "some"}, {"--generation-config"});
}

TEST(TopLogprobs, ThatNoDiskHoldsAreRefusedWithTheirSize) {
  const ProgramResult result =
      cli().generate({"--top-logprobs", "512", "--samples-per-prompt", "1000000"});
  EXPECT_EQ(result.exit_code, 73);
  EXPECT_NE(result.err.find("GB, the disk has"), std::string::npos) << result.err;
  EXPECT_FALSE(std::filesystem::exists(cli().file("out.h5")));
}

TEST(Contradictions, NameBothOptions) {
  using Words = std::vector<std::string>;
  for (const auto& [options, names] : std::vector<std::pair<Words, Words>>{
           {{"--min-new-tokens", "9", "--max-new-tokens", "8"},
            {"--min-new-tokens", "--max-new-tokens"}},
           {{"--allowed-token-ids", "3,4", "--banned-token-ids", "4"},
            {"--allowed-token-ids", "--banned-token-ids"}},
           {{"--ignore-eos", "--eod-token-id", "2"}, {"--ignore-eos", "--eod-token-id"}},
           {{"--logprobs-for", "generated"}, {"--logprobs-for", "--logprobs"}},
           {{"--lockstep", "--generation-config", "all"}, {"--lockstep", "--generation-config"}},
           {{"--batch-size", "3"}, {"--batch-size", "--lockstep"}}}) {
    expect_refused(options, names);
  }
}

}  // namespace
}  // namespace gridmill
