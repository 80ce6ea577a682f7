// `gridmill score`: its file, what counts, and that it goes on.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "gridmill/base/format.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/h5/file.hpp"
#include "gridmill/results/row.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;
using Words = std::vector<std::string>;

constexpr const char* kTemplate =
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}";

void remove_scores() {
  for (const char* name : {"scores.h5", "scores.h5.lock", "scores.h5.runs.jsonl"}) {
    std::filesystem::remove(cli().file(name));
  }
}

ProgramResult score_again(const Words& options, int ranks = 1) {
  Words words = {"score",    "--model",     "stories.h5", "--prompts", "texts.jsonl",
                 "--output", "scores.h5",   "--progress", "none",      "--threads",
                 "1",        "--log-level", "warn"};
  // Of an option that is given twice the test's own one stays.
  for (std::size_t i = 0; i + 1 < options.size(); ++i) {
    const auto given = std::find(words.begin() + 1, words.end(), options[i]);
    if (options[i].rfind("--", 0) == 0 && given != words.end()) words.erase(given, given + 2);
  }
  words.insert(words.end(), options.begin(), options.end());
  return cli().run(words, ranks);
}

ProgramResult score(const Words& options, int ranks = 1) {
  remove_scores();
  return score_again(options, ranks);
}

ResultFile scores() { return ResultFile::open(cli().file("scores.h5")); }

/// Rows of very different lengths; the third is no prompt.
void write_texts() {
  std::string lines;
  for (int i = 0; i < 24; ++i) {
    if (i == 2) {
      lines += "no json\n";
      continue;
    }
    std::string text = "Tom had a red ball.";
    for (int k = 0; k < i * i % 17; ++k) text += " He ran to the big tree and saw a cat.";
    lines += fmt::format("{{\"prompt\": \"{}\"}}\n", text);
  }
  cli().folder().write("texts.jsonl", lines);
}

TEST(ScoreFile, IsAResultFileWithSumsAndLengths) {
  write_texts();
  const ProgramResult result = score({"--top-logprobs", "3"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("1 failed rows"), std::string::npos) << result.err;
  const ResultFile file = scores();
  const h5::File plain = h5::File::open(cli().file("scores.h5"));
  EXPECT_EQ(plain.read_text_attribute("/", "format"), "gridmill-scores");
  const auto sums = plain.dataset("/sum_logprob").read_as<double>();
  const auto lengths = plain.dataset("/length").read_as<std::int32_t>();
  std::size_t longest = 0;
  for (RowId row = 0; row < 24; ++row) {
    const StoredRow stored = file.read_row(row);
    EXPECT_EQ(lengths[row], static_cast<std::int32_t>(stored.tokens.size()));
    EXPECT_EQ(sums[row], sum_of_logprobs(stored.logprobs, {}));
    EXPECT_EQ(stored.top_ids.size(), 3 * stored.tokens.size());
    EXPECT_EQ(stored.failure.empty(), row != 2);
    longest = std::max(longest, stored.tokens.size());
  }
  EXPECT_EQ(file.layout().shape.max_length, longest);
  EXPECT_EQ(lengths[2], 0);
}

TEST(ScoreFile, HasTheSameBytesOnEveryGridAndAfterAStop) {
  write_texts();
  const Words options = {"--top-logprobs", "2", "--logits"};
  ASSERT_EQ(score(options).exit_code, 1);
  const std::string bytes = slurp(cli().file("scores.h5"));
  const auto more = [&](Words words) {
    words.insert(words.end(), options.begin(), options.end());
    return words;
  };
  ASSERT_EQ(score(more({"--tp", "2"}), 2).exit_code, 1);
  EXPECT_TRUE(slurp(cli().file("scores.h5")) == bytes);
  ASSERT_EQ(score(more({"--dp", "2", "--fsdp", "2", "--slots", "3"}), 4).exit_code, 1);
  EXPECT_TRUE(slurp(cli().file("scores.h5")) == bytes);
  const ProgramResult stopped =
      score(more({"--backend", "reference", "--slots", "1", "--time-limit", "150ms"}));
  EXPECT_EQ(stopped.exit_code, 75) << stopped.err;
  ASSERT_EQ(score_again(more({"--tp", "2"}), 2).exit_code, 1);
  EXPECT_TRUE(slurp(cli().file("scores.h5")) == bytes);
  EXPECT_EQ(score_again(more({"--resume", "never"})).exit_code, 73);
}

TEST(ScoreFile, IsVerifiedInspectedAndExported) {
  write_texts();
  ASSERT_EQ(score({"--logits"}).exit_code, 1);
  const auto verify = [] {
    return cli().run({"verify", "scores.h5", "--model", "stories.h5", "--prompts", "texts.jsonl"});
  };
  const ProgramResult good = verify();
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  EXPECT_EQ(cli().run({"status", "scores.h5"}).exit_code, 0);
  EXPECT_NE(cli().run({"inspect", "scores.h5"}).out.find("gridmill-scores"), std::string::npos);
  const ProgramResult exported = cli().run({"export", "scores.h5"});
  EXPECT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_EQ(std::count(exported.out.begin(), exported.out.end(), '\n'), 24);

  const ResultLayout layout = scores().layout();
  const auto flip = [&](std::uint64_t offset) {
    std::byte byte{};
    const auto file = open_row_file(cli().file("scores.h5"), true);
    file->read(offset, std::span(&byte, 1));
    byte ^= std::byte{1};
    file->write(offset, std::span(&byte, 1));
  };
  for (const std::uint64_t offset : {layout.sum_at(5), layout.length_at(5), layout.logits_at(5, 1),
                                     layout.logprobs_at(5) + 8, layout.logits_at(6) - 4}) {
    flip(offset);
    const ProgramResult found = verify();
    EXPECT_EQ(found.exit_code, 1) << found.err;
    EXPECT_EQ(found.out.rfind("row 5: ", 0), 0U) << found.out;
    flip(offset);
  }
  flip(layout.sum_at(5));
  ASSERT_EQ(score_again({"--logits"}).exit_code, 1) << "a damaged row is scored again";
  EXPECT_EQ(verify().exit_code, 0);
}

TEST(ScoreFile, OfAnotherJobOrOfVersion1IsLeftAlone) {
  write_texts();
  ASSERT_EQ(score({}).exit_code, 1);
  EXPECT_TRUE(fails_with(score_again({"--top-logprobs", "2"}), 73, {"scores.h5", "top_logprobs"}));
  remove_scores();
  {
    h5::File old = h5::File::create(cli().file("scores.h5"));
    old.write_text_attribute("/", "format", "gridmill-scores");
    old.write_integer_attribute("/", "format_version", 1);
    static_cast<void>(
        old.create_dataset("/token_logprobs", h5::ElementType::of(h5::Kind::fp32), {2, 3}));
    old.close();
  }
  EXPECT_TRUE(fails_with(score_again({}), 65, {"scores.h5", "version 1", "h5py"}));
}

TEST(ScoreOption, max_length) {
  write_texts();
  EXPECT_EQ(score({"--max-length", "40"}).exit_code, 1);
  EXPECT_EQ(scores().layout().shape.max_length, 40U);
  bool refused = false;
  for (RowId row = 0; row < 24; ++row) {
    refused = refused || scores().read_row(row).failure.find("max-length") != std::string::npos;
  }
  EXPECT_TRUE(refused);
}

TEST(ScoreOption, truncate_prompt) {
  write_texts();
  ASSERT_EQ(score({}).exit_code, 1);
  const auto lengths =
      h5::File::open(cli().file("scores.h5")).dataset("/length").read_as<std::int32_t>();
  // Nothing is cut where nothing is generated behind a row.
  ASSERT_EQ(score({"--truncate-prompt", "left"}).exit_code, 1);
  EXPECT_EQ(h5::File::open(cli().file("scores.h5")).dataset("/length").read_as<std::int32_t>(),
            lengths);
}

TEST(ScoreOption, score_from) {
  cli().folder().write("pairs.jsonl", R"({"prompt": "Once upon", "answer": " a time there was"})"
                                      "\n"
                                      R"({"prompt": [1, 300, 301], "answer": [302, 303]})"
                                      "\n"
                                      R"({"prompt": "Once", "answer": [302]})"
                                      "\n"
                                      R"({"prompt": "Once upon a time there was"})"
                                      "\n");
  ASSERT_EQ(score({"--prompts", "pairs.jsonl", "--score-from", "answer"}).exit_code, 1);
  const StoredRow text = scores().read_row(0);
  EXPECT_EQ(sum_of_logprobs(text.logprobs, text.valid), text.sum_logprob);
  EXPECT_NE(text.sum_logprob, sum_of_logprobs(text.logprobs, {}));
  const StoredRow ids = scores().read_row(1);
  EXPECT_EQ(ids.tokens, (std::vector<TokenId>{1, 300, 301, 302, 303}));
  EXPECT_EQ(std::vector<std::uint8_t>(ids.valid.begin(), ids.valid.begin() + 5),
            (std::vector<std::uint8_t>{0, 0, 0, 1, 1}));
  EXPECT_EQ(ids.record.prefix_length, 3U);
  EXPECT_NE(scores().read_row(2).failure.find("of one kind"), std::string::npos);
  EXPECT_NE(scores().read_row(3).failure.find("no field 'answer'"), std::string::npos);

  // The same row as a whole, and counted from a number on.
  cli().folder().write("whole.jsonl", R"({"prompt": "Once upon a time there was"})"
                                      "\n");
  const std::string from = std::to_string(text.record.prefix_length);
  ASSERT_EQ(score({"--prompts", "whole.jsonl", "--score-from", from}).exit_code, 0);
  const StoredRow whole = scores().read_row(0);
  EXPECT_EQ(whole.tokens, text.tokens);
  EXPECT_EQ(whole.logprobs, text.logprobs);
  EXPECT_EQ(whole.sum_logprob, text.sum_logprob);
  ASSERT_EQ(score({"--prompts", "whole.jsonl", "--score-from", "400"}).exit_code, 1);
  EXPECT_NE(scores().read_row(0).failure.find("no token of the row counts"), std::string::npos);
  EXPECT_TRUE(fails_with(score({"--score-from", "0"}), 64, {"--score-from"}));
  EXPECT_TRUE(fails_with(score({"--score-from", "1", "--score-assistant"}), 64,
                         {"--score-from", "--score-assistant"}));
}

TEST(ScoreOption, score_assistant) {
  cli().folder().write("chat.jinja", kTemplate);
  cli().folder().write(
      "chat.jsonl",
      R"({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day to you"}, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "Bye"}]})"
      "\n"
      R"({"messages": [{"role": "user", "content": "Hello"}]})"
      "\n");
  const Words options = {"--prompts", "chat.jsonl", "--chat-template", "chat.jinja",
                         "--score-assistant"};
  ASSERT_EQ(score(options).exit_code, 1);
  const StoredRow row = scores().read_row(0);
  std::string ids = "[";
  for (std::size_t t = 0; t < row.tokens.size(); ++t) {
    if (row.valid[t] != 0) ids += fmt::format("{}{}", ids.size() > 1 ? "," : "", row.tokens[t]);
  }
  cli().folder().write("ids.txt", ids + "]\n");
  const ProgramResult text = test::run_program(
      {"sh", "-c", "exec \"$0\" detokenize --model stories.h5 < ids.txt", GRIDMILL_PROGRAM},
      cli().folder().path());
  EXPECT_NE(text.out.find("Good day to you"), std::string::npos) << text.out << text.err;
  EXPECT_NE(text.out.find("Bye"), std::string::npos) << text.out;
  EXPECT_EQ(text.out.find("Hello"), std::string::npos) << text.out;
  EXPECT_EQ(text.out.find("And?"), std::string::npos) << text.out;
  EXPECT_NE(scores().read_row(1).failure.find("no turn of the assistant"), std::string::npos);
  write_texts();
  EXPECT_EQ(score({"--score-assistant", "--prompts", "prompts.txt"}).exit_code, 64);
}

TEST(ScoreOption, score_assistant_of_turns_that_end_within_words) {
  cli().folder().write("letters.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  std::string lines;
  for (int i = 0; i < 200; ++i) {
    const auto letter = [i](int k) { return static_cast<char>('a' + (i * 7 + k * 11) % 26); };
    lines += fmt::format(
        R"({{"messages": [{{"role": "user", "content": "{}{}"}}, {{"role": "assistant", "content": "{}"}},)"
        R"( {{"role": "user", "content": "{}"}}, {{"role": "assistant", "content": "{}{}"}}]}})"
        "\n",
        letter(0), letter(1), letter(2), letter(3), letter(4), letter(5));
  }
  cli().folder().write("letters.jsonl", lines);
  const ProgramResult result = score(
      {"--prompts", "letters.jsonl", "--chat-template", "letters.jinja", "--score-assistant"});
  EXPECT_LE(result.exit_code, 1) << result.err;
  const ResultFile file = scores();
  for (RowId row = 0; row < 200; ++row) {
    const StoredRow stored = file.read_row(row);
    if (!stored.failure.empty()) continue;
    ASSERT_GE(stored.valid.size(), stored.tokens.size());
    EXPECT_EQ(stored.valid.front(), 0) << "nothing predicts the first token";
  }
}

TEST(ScoreOption, score_from_a_field_beside_what_only_python_reads) {
  cli().folder().write("texts.jsonl",
                       "{\"prompt\": \"Tom had\", \"c\": \" a ball.\", \"x\": NaN}\n");
  const ProgramResult result = score({"--score-from", "c"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  cli().folder().write("texts.jsonl", "{\"prompt\": \"Tom had\", \"c\": NaN}\n");
  EXPECT_EQ(score({"--score-from", "c"}).exit_code, 1);
}

TEST(ScoreFile, ExportsTheSumOfTheTokensThatCount) {
  cli().folder().write("chat.jinja", kTemplate);
  cli().folder().write(
      "texts.jsonl",
      R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."},)"
      R"( {"role": "user", "content": "Who is Tom?"}, {"role": "assistant", "content": "A boy."}]})"
      "\n");
  const ProgramResult result = score({"--chat-template", "chat.jinja", "--score-assistant"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const StoredRow row = scores().read_row(0);
  const auto counted = std::count(row.valid.begin(), row.valid.end(), 1);
  const ProgramResult exported =
      cli().run({"export", "scores.h5", "--fields", "sum_logprob,mean_logprob"});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  const Json line = Json::parse(exported.out);
  EXPECT_EQ(line.at("sum_logprob").get<double>(), row.sum_logprob);
  EXPECT_EQ(line.at("mean_logprob").get<double>(), row.sum_logprob / static_cast<double>(counted));
}

TEST(ScoreOption, logprobs_for) {
  cli().folder().write("whole.jsonl", R"({"prompt": "Once upon a time there was a big dog"})"
                                      "\n");
  const Words options = {"--prompts", "whole.jsonl", "--score-from", "6", "--top-logprobs", "2"};
  ASSERT_EQ(score(options).exit_code, 0);
  const StoredRow all = scores().read_row(0);
  Words counted = options;
  counted.insert(counted.end(), {"--logprobs-for", "counted"});
  ASSERT_EQ(score(counted).exit_code, 0);
  const StoredRow some = scores().read_row(0);
  ASSERT_EQ(some.tokens, all.tokens);
  ASSERT_GT(some.tokens.size(), 8U);
  for (std::size_t t = 0; t < some.tokens.size(); ++t) {
    EXPECT_EQ(some.logprobs[t], t < 6 ? 0.0F : all.logprobs[t]) << t;
    EXPECT_EQ(some.top_ids[2 * t], t < 6 ? 0 : all.top_ids[2 * t]) << t;
  }
  EXPECT_EQ(some.sum_logprob, all.sum_logprob);
  EXPECT_TRUE(fails_with(score({"--logprobs-for", "counted"}), 64,
                         {"--logprobs-for", "--score-from", "--score-assistant"}));
}

}  // namespace
}  // namespace gridmill
