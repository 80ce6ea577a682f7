// A test per option of `gridmill generate`, named as the option (dashes as underscores), that
// observes its effect. contract_test.cpp holds this list against docs/cli.md.

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "gridmill/results/result_store.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::ProgramResult;
using test::slurp;

/// Exit code 0, with stderr in the message if not.
testing::AssertionResult succeeds(const ProgramResult& result) {
  if (result.exit_code == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "exit code " << result.exit_code << ": " << result.err;
}

std::vector<std::vector<TokenId>> all_tokens() {
  const ResultFile file = cli().result();
  std::vector<std::vector<TokenId>> tokens;
  for (RowId row = 0; row < file.layout().shape.rows; ++row) {
    tokens.push_back(file.read_row(row).tokens);
  }
  return tokens;
}

std::vector<std::vector<TokenId>> generated(const std::vector<std::string>& options) {
  EXPECT_TRUE(succeeds(cli().generate(options)));
  return all_tokens();
}

TEST(GenerateOption, model) {
  const auto stories = generated({"--model", "stories.h5"});
  const auto shakespeare = generated({"--model", "shakespeare.h5"});
  EXPECT_NE(stories, shakespeare);
}

TEST(GenerateOption, prompts) {
  cli().folder().write("one.txt", "Ben\n");
  EXPECT_EQ(generated({"--prompts", "one.txt"}).size(), 1U);
  EXPECT_EQ(generated({"--prompts", "prompts.txt"}).size(), 4U);
}

TEST(GenerateOption, prompt_field) {
  cli().folder().write("fields.jsonl", R"({"prompt": "Ben", "text": "The sun was"})"
                                       "\n");
  const auto prompt = generated({"--prompts", "fields.jsonl"});
  const auto text = generated({"--prompts", "fields.jsonl", "--prompt-field", "text"});
  EXPECT_NE(prompt, text);
}

/// What --show prints: the prompts as they would be fed.
std::vector<Json> shown(std::vector<std::string> options) {
  options.insert(options.end(), {"--show", "9"});
  const ProgramResult result = cli().generate(options);
  EXPECT_TRUE(succeeds(result));
  std::vector<Json> lines;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

/// The text of the first prompt, without the blank that this tokenizer puts in front of a text.
std::string shown_text(const std::vector<std::string>& options) {
  const std::vector<Json> lines = shown(options);
  if (lines.empty() || !lines[0].contains("text")) return "no text";
  const auto text = lines[0].at("text").get<std::string>();
  return text.starts_with(' ') ? text.substr(1) : text;
}

/// A file of one conversation under the field `name`, and a chat template.
std::vector<std::string> chat(const std::string& name = "messages") {
  cli().folder().write("chat.jsonl",
                       R"({")" + name + R"(": [{"role": "user", "content": "Ben"}]})" + "\n");
  cli().folder().write("chat.jinja",
                       "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ end }} {% endfor %}"
                       "{% if add_generation_prompt %}bot:{% endif %}");
  return {"--prompts", "chat.jsonl", "--chat-template", "chat.jinja"};
}

std::vector<std::string> chat_with(const std::vector<std::string>& more) {
  std::vector<std::string> options = chat();
  options.insert(options.end(), more.begin(), more.end());
  return options;
}

TEST(GenerateOption, show) {
  cli().remove_output();
  const std::vector<Json> lines = shown({});
  EXPECT_FALSE(std::filesystem::exists(cli().file("out.h5"))) << "nothing is generated";
  const auto tokens = generated({"--max-new-tokens", "1"});
  ASSERT_EQ(lines.size(), tokens.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const auto ids = lines[i].at("ids").get<std::vector<TokenId>>();
    EXPECT_EQ(std::vector<TokenId>(tokens[i].begin(),
                                   tokens[i].begin() + static_cast<std::ptrdiff_t>(ids.size())),
              ids);
  }
}

TEST(GenerateOption, chat_template) {
  EXPECT_EQ(shown_text(chat()), "user: Ben bot:");
  const auto from_chat = generated(chat());
  cli().folder().write("text.txt", "user: Ben bot:\n");
  EXPECT_EQ(generated({"--prompts", "text.txt", "--add-special-tokens=false"}), from_chat);
}

TEST(GenerateOption, messages_field) {
  std::vector<std::string> options = chat("turns");
  options.insert(options.end(), {"--messages-field", "turns"});
  EXPECT_EQ(shown_text(options), "user: Ben bot:");
}

TEST(GenerateOption, template) {
  cli().folder().write("fields.jsonl", "{\"who\": \"Ben\", \"n\": 3}\n");
  cli().folder().write("fields.jinja", "{{ who }} has {{ n + 1 }} cats.");
  EXPECT_EQ(shown_text({"--prompts", "fields.jsonl", "--template", "fields.jinja",
                        "--add-special-tokens=false"}),
            "Ben has 4 cats.");
}

TEST(GenerateOption, system) {
  EXPECT_EQ(shown_text(chat_with({"--system", "Hm"})), "system: Hm user: Ben bot:");
  cli().folder().write("system.txt", "Oh\n");
  EXPECT_EQ(shown_text(chat_with({"--system", "@system.txt"})), "system: Oh user: Ben bot:");
}

TEST(GenerateOption, few_shot) {
  cli().folder().write("shots.jsonl", "{\"prompt\": \"A\", \"completion\": \"B\"}\n");
  EXPECT_EQ(shown_text(chat_with({"--few-shot", "shots.jsonl"})),
            "user: A assistant: B user: Ben bot:");
}

TEST(GenerateOption, template_vars) {
  EXPECT_EQ(shown_text(chat_with({"--template-vars", "end=!"})), "user: Ben! bot:");
}

TEST(GenerateOption, continue_final_message) {
  EXPECT_EQ(shown_text(chat_with({"--continue-final-message"})), "user: Ben");
}

TEST(GenerateOption, chat_time) {
  chat();
  cli().folder().write("dated.jinja", "{{ strftime_now('%d %b %Y') }}");
  const std::vector<std::string> dated = {"--prompts", "chat.jsonl", "--chat-template",
                                          "dated.jinja"};
  EXPECT_EQ(cli().generate(dated).exit_code, 64);
  EXPECT_EQ(shown_text({"--prompts", "chat.jsonl", "--chat-template", "dated.jinja", "--chat-time",
                        "2026-02-03T04:05:06"}),
            "03 Feb 2026");
}

TEST(GenerateOption, max_prompt_tokens) {
  EXPECT_TRUE(shown({"--max-prompt-tokens", "2"}).at(0).contains("error"));
  EXPECT_FALSE(shown({"--max-prompt-tokens", "50"}).at(0).contains("error"));
}

TEST(GenerateOption, truncate_prompt) {
  const auto ids = [](const std::vector<std::string>& options) {
    return shown(options).at(0).at("ids").get<std::vector<TokenId>>();
  };
  const std::vector<TokenId> whole = ids({});
  ASSERT_GT(whole.size(), 3U);
  EXPECT_EQ(ids({"--truncate-prompt", "left", "--max-prompt-tokens", "3"}),
            (std::vector<TokenId>{whole[0], whole[whole.size() - 2], whole.back()}))
      << "the begin token stays";
  EXPECT_EQ(ids({"--truncate-prompt", "right", "--max-prompt-tokens", "3"}),
            std::vector<TokenId>(whole.begin(), whole.begin() + 3));
  EXPECT_EQ(
      ids({"--truncate-prompt", "right", "--max-length", "5", "--max-new-tokens", "3"}).size(), 2U);
}

TEST(GenerateOption, output) {
  EXPECT_TRUE(succeeds(cli().generate({"--output", "elsewhere.h5"})));
  EXPECT_EQ(ResultFile::open(cli().file("elsewhere.h5")).layout().shape.rows, 4U);
}

TEST(GenerateOption, dp) {
  ASSERT_TRUE(succeeds(cli().generate({"--dp", "2"}, 2)));
  EXPECT_EQ(cli().last_run().at("grid").at("dp"), 2);
}

TEST(GenerateOption, fsdp) {
  ASSERT_TRUE(succeeds(cli().generate({"--fsdp", "2"}, 2)));
  EXPECT_EQ(cli().last_run().at("grid").at("fsdp"), 2);
  EXPECT_EQ(cli().last_run().at("grid").at("dp"), 1) << "dp 0 takes what remains";
}

TEST(GenerateOption, tp) {
  ASSERT_TRUE(succeeds(cli().generate({"--tp", "2"}, 2)));
  EXPECT_EQ(cli().last_run().at("grid").at("tp"), 2);
}

TEST(GenerateOption, gather_params_once) {
  const std::vector<std::string> common = {"--fsdp", "2",         "--fsdp-min-weight-size",
                                           "0",      "--metrics", "gather.jsonl"};
  ASSERT_TRUE(succeeds(cli().generate(common, 2)));
  EXPECT_EQ(cli().metrics("gather.jsonl").at("parameter_memory_shared").at("max"), 0);
  std::vector<std::string> once = common;
  once.emplace_back("--gather-params-once");
  ASSERT_TRUE(succeeds(cli().generate(once, 2)));
  EXPECT_GT(cli().metrics("gather.jsonl").at("parameter_memory_shared").at("max"), 0);
}

TEST(GenerateOption, fsdp_min_weight_size) {
  const auto mean_read = [](const std::string& size) {
    EXPECT_TRUE(succeeds(cli().generate(
        {"--fsdp", "2", "--fsdp-min-weight-size", size, "--metrics", "min.jsonl"}, 2)));
    return cli().metrics("min.jsonl").at("parameter_bytes_read").at("mean").get<double>();
  };
  EXPECT_LT(mean_read("0"), 0.6 * mean_read("100000000"));
}

TEST(GenerateOption, param_dtype) {
  ASSERT_TRUE(succeeds(cli().generate({"--logprobs", "--compute-dtype", "fp32"})));
  const auto exact = cli().result().read_row(0).logprobs;
  ASSERT_TRUE(
      succeeds(cli().generate({"--logprobs", "--compute-dtype", "fp32", "--param-dtype", "bf16"})));
  EXPECT_NE(cli().result().read_row(0).logprobs, exact);
  EXPECT_EQ(cli().result().job().fields.at("param_dtype"), "bf16");
}

TEST(GenerateOption, compute_dtype) {
  ASSERT_TRUE(succeeds(cli().generate({"--compute-dtype", "bf16"})));
  EXPECT_EQ(cli().result().job().fields.at("numerics"), "cpu-1-bf16");
  ASSERT_TRUE(succeeds(cli().generate({})));
  EXPECT_EQ(cli().result().job().fields.at("numerics"), "cpu-1-fp32");
}

TEST(GenerateOption, backend) {
  ASSERT_TRUE(succeeds(cli().generate({"--backend", "reference"})));
  EXPECT_EQ(cli().last_run().at("backend"), "reference");
}

TEST(GenerateOption, kernel_target) {
  const auto fastest = generated({"--backend", "cpu"});
  const auto avx2 = generated({"--backend", "cpu", "--kernel-target", "avx2"});
  EXPECT_EQ(cli().last_run().at("kernel_target"), "avx2");
  EXPECT_EQ(avx2, fastest) << "a target never changes bits";
}

TEST(GenerateOption, share_gpu) {
  const ProgramResult result = cli().generate({"--backend", "cpu", "--share-gpu"});
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_NE(result.err.find("--share-gpu"), std::string::npos) << result.err;
}

TEST(GenerateOption, max_length) {
  generated({"--max-length", "17"});
  EXPECT_EQ(cli().result().layout().shape.max_length, 17U);
  for (const auto& tokens : all_tokens()) EXPECT_LE(tokens.size(), 17U);
  EXPECT_EQ(cli().generate({"--max-length", "513"}).exit_code, 64) << "the model's limit is 512";
}

TEST(GenerateOption, allow_long) {
  EXPECT_TRUE(
      succeeds(cli().generate({"--max-length", "600", "--allow-long", "--max-new-tokens", "2"})));
  EXPECT_EQ(cli().result().layout().shape.max_length, 600U);
}

TEST(GenerateOption, max_new_tokens) {
  generated({"--max-new-tokens", "3"});
  const ResultFile file = cli().result();
  for (RowId row = 0; row < 4; ++row) {
    const RowRecord record = file.read_row(row).record;
    EXPECT_EQ(record.length, record.prefix_length + 3);
    EXPECT_EQ(record.finish_reason, static_cast<std::uint16_t>(FinishReason::length));
  }
}

TEST(GenerateOption, eod_token_id) {
  const auto free = generated({"--eod-token-id=-1"});
  const TokenId stop = free[0].back();
  const auto stopped = generated({"--eod-token-id", std::to_string(stop)});
  const RowRecord record = cli().result().read_row(0).record;
  EXPECT_EQ(record.finish_reason, static_cast<std::uint16_t>(FinishReason::eod));
  EXPECT_EQ(stopped[0].back(), stop) << "a generated one is the row's last token";
  EXPECT_LE(stopped[0].size(), free[0].size());
}

TEST(GenerateOption, add_special_tokens) {
  const auto with = generated({});
  const auto without = generated({"--add-special-tokens=false"});
  EXPECT_EQ(with[0][0], 1) << "the begin token";
  EXPECT_NE(without[0][0], 1);
}

TEST(GenerateOption, temperature) {
  EXPECT_EQ(generated({"--temperature", "0"}), generated({"--temperature", "0", "--seed", "9"}));
  EXPECT_NE(generated({"--temperature", "1"}), generated({"--temperature", "0"}));
}

TEST(GenerateOption, seed) {
  const auto one = generated({"--temperature", "1", "--seed", "1"});
  EXPECT_EQ(generated({"--temperature", "1", "--seed", "1"}), one);
  EXPECT_NE(generated({"--temperature", "1", "--seed", "18446744073709551615"}), one);
}

TEST(GenerateOption, samples_per_prompt) {
  const auto rows = generated({"--temperature", "1", "--samples-per-prompt", "3"});
  ASSERT_EQ(rows.size(), 12U);
  EXPECT_NE(rows[0], rows[1]);
  const RowRecord record = cli().result().read_row(7).record;
  EXPECT_EQ(record.prompt_index, 2U);
  EXPECT_EQ(record.sample_index, 1U);
}

TEST(GenerateOption, logprobs) {
  generated({"--logprobs"});
  const StoredRow row = cli().result().read_row(0);
  ASSERT_EQ(row.logprobs.size(), row.tokens.size());
  EXPECT_EQ(row.logprobs[0], 0.0F);
  for (std::size_t i = 1; i < row.logprobs.size(); ++i) EXPECT_LT(row.logprobs[i], 0.0F);
}

TEST(GenerateOption, slots) {
  const auto passes = [](const std::string& slots) {
    EXPECT_TRUE(succeeds(cli().generate({"--slots", slots, "--metrics", "slots.jsonl"})));
    return cli().metrics("slots.jsonl").at("passes").get<int>();
  };
  EXPECT_GT(passes("1"), 2 * passes("4"));
}

TEST(GenerateOption, prefix_memory) {
  cli().folder().write("long.txt",
                       "Once upon a time there was a little girl who lived near the woods\n");
  const auto rows = [](const std::string& memory) {
    return generated({"--prompts", "long.txt", "--samples-per-prompt", "5", "--temperature", "1",
                      "--max-length", "40", "--slots", "2", "--prefix-memory", memory, "--metrics",
                      "shared.jsonl"});
  };
  const auto shared = [] {
    return cli().metrics("shared.jsonl").at("shared_prompt_tokens").get<int>();
  };
  const auto alone = rows("0");
  EXPECT_EQ(shared(), 0);
  EXPECT_EQ(rows("auto"), alone);
  const int all = shared();
  EXPECT_GT(all, 4 * 16);
  EXPECT_EQ(rows("1K"), alone);
  EXPECT_GT(shared(), 0) << "rows in flight share, whatever may be kept";
  EXPECT_LE(shared(), all);
  EXPECT_EQ(cli().generate({"--prefix-memory", "12Q"}).exit_code, 64);
}

TEST(GenerateOption, threads) {
  const auto one = generated({"--threads", "1"});
  EXPECT_EQ(generated({"--threads", "2"}), one);
  EXPECT_EQ(cli().generate({"--threads", "0"}).exit_code, 64);
}

TEST(GenerateOption, resume) {
  generated({});
  EXPECT_TRUE(succeeds(cli().generate_again({"--resume", "require"})));
  EXPECT_EQ(cli().generate_again({"--resume", "never"}).exit_code, 73);
  EXPECT_EQ(cli().generate({"--resume", "require"}).exit_code, 66);
}

TEST(Resume, UnderAnotherNumericsIdIsRefusedAndSaysBoth) {
  ASSERT_TRUE(succeeds(cli().generate({"--compute-dtype", "fp32"})));
  const std::string made = slurp(cli().file("out.h5"));
  for (const char* resume : {"auto", "require"}) {
    const ProgramResult result =
        cli().generate_again({"--compute-dtype", "bf16", "--resume", resume});
    EXPECT_EQ(result.exit_code, 73) << resume;
    for (const char* word :
         {"out.h5", "numerics is", "fp32\" there", "bf16\" here", "--backend", "--compute-dtype"}) {
      EXPECT_NE(result.err.find(word), std::string::npos) << word << " in " << result.err;
    }
  }
  EXPECT_TRUE(slurp(cli().file("out.h5")) == made) << "nothing was written";
}

TEST(GenerateOption, part) {  // more in merge_test.cpp
  EXPECT_TRUE(succeeds(cli().generate({"--part", "2/2"})));
  EXPECT_EQ(cli().last_run().at("rows_to_do"), 2);
  EXPECT_TRUE(cli().tokens(0).empty());
  EXPECT_FALSE(cli().tokens(3).empty());
}

TEST(GenerateOption, allow_failed_rows) {
  cli().folder().write("broken.jsonl", "{\"prompt\": \"Ben\"}\nno json\n");
  EXPECT_EQ(cli().generate({"--prompts", "broken.jsonl"}).exit_code, 1);
  EXPECT_EQ(cli().generate({"--prompts", "broken.jsonl", "--allow-failed-rows"}).exit_code, 0);
}

TEST(GenerateOption, retry_failed) {
  cli().folder().write("broken.jsonl", "{\"prompt\": \"Ben\"}\nno json\n");
  EXPECT_EQ(cli().generate({"--prompts", "broken.jsonl", "--metrics", "retry1.jsonl"}).exit_code,
            1);
  const Json first = cli().last_run();
  EXPECT_EQ(cli().generate_again({"--prompts", "broken.jsonl", "--retry-failed"}).exit_code, 1);
  EXPECT_EQ(cli().last_run().at("rows_to_do"), 1);
  EXPECT_EQ(cli().generate_again({"--prompts", "broken.jsonl"}).exit_code, 1);
  EXPECT_EQ(cli().last_run().at("rows_to_do"), 0);
}

// Files of equal jobs are equal, also if a row failed once (a failure of a machine, say).
TEST(RetryFailed, LeavesTheFileOfARunWithoutFailures) {
  EXPECT_TRUE(succeeds(cli().generate({})));
  const std::string undisturbed = slurp(cli().file("out.h5"));
  {
    const ResultFile file = cli().result();
    ResultStore store = ResultStore::open(file.path(), file.layout());
    store.discard(std::vector<RowId>{1});
    store.flush();
    store.put({.row = 1,
               .status = RowStatus::failed,
               .finish_reason = FinishReason::error,
               .failure = "not a number"});
    store.close();
  }
  EXPECT_EQ(cli().generate_again({}).exit_code, 1) << "a failed row stays as it is";
  EXPECT_EQ(cli().result().read_row(1).failure, "not a number");
  EXPECT_TRUE(succeeds(cli().generate_again({"--retry-failed"}, 2)));
  EXPECT_EQ(cli().last_run().at("rows_to_do"), 1);
  EXPECT_TRUE(slurp(cli().file("out.h5")) == undisturbed);
}

TEST(GenerateOption, commit_interval) {
  EXPECT_TRUE(succeeds(cli().generate({"--commit-interval", "50ms"})));
  const ProgramResult result = cli().generate({"--commit-interval", "soon"});
  EXPECT_EQ(result.exit_code, 64);
  EXPECT_NE(result.err.find("--commit-interval"), std::string::npos);
}

TEST(GenerateOption, time_limit) {
  const std::vector<std::string> job = {"--max-length",
                                        "500",
                                        "--samples-per-prompt",
                                        "40",
                                        "--temperature",
                                        "1",
                                        "--eod-token-id=-1",
                                        "--slots",
                                        "2"};
  std::vector<std::string> limited = job;
  limited.insert(limited.end(), {"--time-limit", "300ms"});
  EXPECT_EQ(cli().generate(limited).exit_code, 75);
  EXPECT_EQ(cli().run({"status", "out.h5"}).exit_code, 75);
  EXPECT_TRUE(succeeds(cli().generate_again(job)));
  EXPECT_EQ(cli().run({"status", "out.h5"}).exit_code, 0);
}

TEST(GenerateOption, progress) {
  EXPECT_EQ(cli().generate({"--progress", "none"}).err, "");
  EXPECT_EQ(cli().generate({"--progress", "json"}).err.rfind("{\"rows_done\":4", 0), 0U);
  EXPECT_EQ(cli().generate({"--progress", "plain"}).err.rfind("4/4 rows", 0), 0U);
}

TEST(GenerateOption, metrics) {
  ASSERT_TRUE(succeeds(cli().generate({"--metrics", "metrics.jsonl"})));
  const Json summary = cli().metrics("metrics.jsonl");
  EXPECT_EQ(summary.at("record"), "summary");
  EXPECT_EQ(summary.at("rows_done"), 4);
  EXPECT_GT(summary.at("new_tokens"), 0);
  EXPECT_GT(summary.at("peak_resident_bytes").at("max"), 0);
  EXPECT_GT(summary.at("prompt_wait_s").at("max"), 0) << "the first rows are waited for";
  EXPECT_GE(summary.at("idle_share").at("min"), 0);
  EXPECT_LE(summary.at("idle_share").at("max"), 1);
}

TEST(GenerateOption, log_level) {
  EXPECT_EQ(cli().generate({"--log-level", "warn"}).err, "");
  EXPECT_NE(cli().generate({"--log-level", "info"}).err.find("info:"), std::string::npos);
}

TEST(GenerateOption, config) {
  cli().folder().write("job.cfg",
                       "# a comment\nmodel = stories.h5\nmax-length = 19\ntemperature = 0\n");
  cli().remove_output();
  const std::vector<std::string> arguments = {"generate",    "--config", "job.cfg", "--prompts",
                                              "prompts.txt", "--output", "out.h5"};
  ASSERT_TRUE(succeeds(cli().run(arguments)));
  EXPECT_EQ(cli().result().layout().shape.max_length, 19U);

  cli().remove_output();
  ASSERT_TRUE(succeeds(cli().run(arguments, 1, {"GRIDMILL_MAX_LENGTH=18"})));
  EXPECT_EQ(cli().result().layout().shape.max_length, 18U) << "environment beats the file";

  cli().remove_output();
  std::vector<std::string> flagged = arguments;
  flagged.insert(flagged.end(), {"--max-length", "16"});
  ASSERT_TRUE(succeeds(cli().run(flagged, 1, {"GRIDMILL_MAX_LENGTH=18"})));
  EXPECT_EQ(cli().result().layout().shape.max_length, 16U) << "a flag beats both";
}

}  // namespace
}  // namespace gridmill
