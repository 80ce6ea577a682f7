// What `gridmill export` makes of a result file.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"
#include "gridmill/h5/file.hpp"

namespace gridmill {
namespace {

using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;
using Words = std::vector<std::string>;

std::vector<Json> json_lines(const std::string& text) {
  std::vector<Json> values;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

std::string output_of(const Words& arguments) {
  const ProgramResult result = cli().run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out;
}

std::vector<Json> exported(const Words& options) {
  Words arguments = {"export", "out.h5"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return json_lines(output_of(arguments));
}

std::vector<std::string> keys_of(const std::string& line) {
  std::vector<std::string> keys;
  const OrderedJson object = OrderedJson::parse(line);
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

const char* const kChat =
    "{% for m in messages %}[{{ m.role }}] {{ m.content }} {% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

const char* const kRecords =
    "{\"prompt\": \"Ben had\", \"id\": 7, \"score\": 1.50, \"ok\": true, \"tags\": [\"a\", 1]}\n"
    "no json\n"
    "{\"prompt\": \"The cat\", \"id\": 8, \"score\": 2, \"ok\": false, \"note\": \"x\\u0000y\"}\n";

/// out.h5 of kRecords: three samples each, with log-probabilities.
void generate_samples(const Words& more = {}) {
  cli().folder().write("records.jsonl", kRecords);
  Words options = {"--prompts",
                   "records.jsonl",
                   "--samples-per-prompt",
                   "3",
                   "--logprobs",
                   "--seed",
                   "5",
                   "--temperature",
                   "1",
                   "--max-new-tokens",
                   "6"};
  options.insert(options.end(), more.begin(), more.end());
  const ProgramResult made = cli().generate(options);
  ASSERT_EQ(made.exit_code, 1) << made.err;
}

/// out.h5 of two conversations.
void generate_chats(const Words& more = {}) {
  cli().folder().write("chat.jinja", kChat);
  cli().folder().write(
      "chats.jsonl",
      "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\", \"x\": 1e2}], \"id\": 3}\n"
      "{\"messages\": [{\"role\": \"user\", \"content\": \"A\"}, {\"role\": \"assistant\", "
      "\"content\": \"Once\"}], \"continue_final_message\": true}\n");
  Words options = {"--prompts",    "chats.jsonl", "--chat-template",  "chat.jinja",
                   "--max-length", "60",          "--max-new-tokens", "5"};
  options.insert(options.end(), more.begin(), more.end());
  const ProgramResult made = cli().generate(options);
  ASSERT_EQ(made.exit_code, 0) << made.err;
}

TEST(ExportFields, CountTokensAndSumLogprobs) {
  generate_samples();
  for (const Json& row : exported({"--only", "done"})) {
    EXPECT_EQ(row.at("prompt_tokens").get<int>() + row.at("completion_tokens").get<int>(),
              static_cast<int>(row.at("tokens").size()));
    EXPECT_EQ(row.at("completion_tokens"), 6);
  }
  const std::vector<Json> whole = exported({"--only", "done"});
  const std::vector<Json> sums =
      exported({"--only", "done", "--fields", "sum_logprob,mean_logprob"});
  ASSERT_EQ(sums.size(), 6U);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const auto logprobs = whole[i].at("logprobs").get<std::vector<double>>();
    double sum = 0;
    for (std::size_t t = logprobs.size() - 6; t < logprobs.size(); ++t) sum += logprobs[t];
    EXPECT_EQ(sums[i].at("sum_logprob").get<double>(), sum);
    EXPECT_EQ(sums[i].at("mean_logprob").get<double>(), sum / 6);
  }
}

TEST(ExportFields, AreThoseThatAreNamedInTheirOrder) {
  generate_samples();
  const std::string text =
      output_of({"export", "out.h5", "--fields", "completion_tokens,answer=text,failure,stop"});
  for (std::istringstream lines(text); !lines.eof();) {
    std::string line;
    std::getline(lines, line);
    if (line.empty()) continue;
    EXPECT_EQ(keys_of(line),
              (std::vector<std::string>{"completion_tokens", "answer", "failure", "stop"}));
  }
  EXPECT_EQ(exported({"--fields", "failure"}).at(0).at("failure"), nullptr);
  EXPECT_NE(exported({"--fields", "failure"}).at(3).at("failure"), nullptr);
}

TEST(ExportFields, ThatAreNoneAreNamed) {
  generate_samples();
  const auto fails = [](const std::string& fields, const std::string& part) {
    return fails_with(cli().run({"export", "out.h5", "--fields", fields}), 64, {part});
  };
  EXPECT_TRUE(fails("text,nope", "'nope'"));
  EXPECT_TRUE(fails("text,text", "twice"));
  EXPECT_TRUE(fails("", "no field ''"));
  EXPECT_TRUE(fails("top_ids", "--top-logprobs"));
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  EXPECT_TRUE(fails("sum_logprob", "--logprobs"));
}

TEST(ExportFields, TellWhatEndedARowAndWhatWasCut) {
  cli().folder().write("long.jsonl", "{\"prompt\": \"Once upon a time there was a cat\"}\n");
  ASSERT_EQ(cli()
                .generate({"--prompts", "long.jsonl", "--stop", "nothing like it", "--stop", "e",
                           "--max-prompt-tokens", "4", "--truncate-prompt", "left"})
                .exit_code,
            0);
  const Json row = exported({}).at(0);
  EXPECT_EQ(row.at("finish_reason"), "stop");
  EXPECT_EQ(row.at("stop"), "e");
  EXPECT_EQ(row.at("truncated"), true);
  EXPECT_EQ(row.at("prompt_tokens"), 4);
  EXPECT_EQ(row.at("prompt"), "Once upon a time there was a cat");
  EXPECT_EQ(exported({"--fields", "stop_index"}).at(0).at("stop_index"), 2);
}

TEST(ExportFields, TopLogprobsAreAListAPosition) {
  ASSERT_EQ(cli().generate({"--top-logprobs", "3", "--max-new-tokens", "4"}).exit_code, 0);
  const Json row = exported({}).at(0);
  ASSERT_EQ(row.at("top_ids").size(), row.at("tokens").size());
  ASSERT_EQ(row.at("top_logprobs").size(), row.at("tokens").size());
  const std::size_t last = row.at("tokens").size() - 1;
  ASSERT_EQ(row.at("top_ids").at(last).size(), 3U);
  EXPECT_EQ(row.at("top_ids").at(last).at(0), row.at("tokens").at(last)) << "greedy";
  EXPECT_EQ(row.at("top_logprobs").at(last).at(0), row.at("logprobs").at(last));
}

TEST(ExportJoin, PutsTheRecordsFieldsInFrontAsTheyStand) {
  generate_samples();
  const std::string line =
      first_line(output_of({"export", "out.h5", "--join", "--fields", "text,sample_index"}));
  EXPECT_EQ(keys_of(line), (std::vector<std::string>{"prompt", "id", "score", "ok", "tags", "text",
                                                     "sample_index"}));
  EXPECT_NE(line.find("\"score\":1.50"), std::string::npos) << line;
  EXPECT_EQ(exported({"--join", "--fields", "text"}).at(3), (Json{{"text", ""}}))
      << "a line without an object has no fields";
}

TEST(ExportJoin, DoesNotLoseAFieldOfTheSameName) {
  cli().folder().write("text.jsonl", "{\"text\": \"Ben had\"}\n");
  ASSERT_EQ(cli().generate({"--prompts", "text.jsonl", "--prompt-field", "text"}).exit_code, 0);
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5", "--join"}), 65,
                         {"prompt 0", "'text'", "--fields text_new=text"}));
  const Json row = exported({"--join", "--fields", "answer=text"}).at(0);
  EXPECT_EQ(row.at("text"), "Ben had");
  EXPECT_NE(row.at("answer"), "");
}

TEST(ExportMessages, AreTheConversationWithTheAnswer) {
  generate_chats();
  const std::string text = output_of({"export", "out.h5", "--messages"});
  const std::vector<Json> rows = json_lines(text);
  const std::vector<Json> plain = exported({});
  ASSERT_EQ(rows.size(), 2U);
  ASSERT_EQ(rows[0].at("messages").size(), 2U);
  EXPECT_EQ(rows[0].at("messages").at(0),
            (Json{{"role", "user"}, {"content", "Hi"}, {"x", 100.0}}));
  EXPECT_EQ(rows[0].at("messages").at(1),
            (Json{{"role", "assistant"}, {"content", plain[0].at("text")}}));
  EXPECT_EQ(rows[0].count("text"), 0U);
  // The answer goes on in the message that the model continued.
  ASSERT_EQ(rows[1].at("messages").size(), 2U);
  EXPECT_EQ(rows[1].at("messages").at(1).at("content"),
            std::string("Once") + plain[1].at("text").get<std::string>());
}

TEST(ExportMessages, HaveTheSystemMessageAndMakeAUserOfAText) {
  ASSERT_NO_FATAL_FAILURE(generate_chats({"--system", "Short."}));
  const Json first = exported({"--messages"}).at(0);
  EXPECT_EQ(first.at("messages").at(0), (Json{{"role", "system"}, {"content", "Short."}}));
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  const Json text = exported({"--messages"}).at(0);
  EXPECT_EQ(text.at("messages").at(0), (Json{{"role", "user"}, {"content", "Once upon a time"}}));
  EXPECT_EQ(text.at("messages").at(1).at("role"), "assistant");
}

TEST(ExportMessages, TakeThePlaceOfTheRecordsOwnInAJoin) {
  generate_chats();
  const Json row = exported({"--messages", "--join"}).at(0);
  EXPECT_EQ(row.at("id"), 3);
  EXPECT_EQ(row.at("messages").size(), 2U);
}

TEST(ExportPrompt, IsTheTextThatWasFed) {
  generate_chats();
  EXPECT_EQ(exported({}).at(0).at("prompt"), "[user] Hi [assistant]");
  EXPECT_EQ(exported({"--fields", "prompt"}).at(1).at("prompt"), "[user] A [assistant] Once");
  cli().folder().write("ids.jsonl", "{\"prompt\": [1, 403]}\n");
  ASSERT_EQ(cli().generate({"--prompts", "ids.jsonl"}).exit_code, 0);
  EXPECT_NE(exported({}).at(0).at("prompt"), "") << "ids are shown as their text";
}

TEST(ExportGroup, IsOneLineAPromptWithItsSamples) {
  generate_samples();
  const std::vector<Json> rows = exported({});
  const std::vector<Json> groups = exported({"--group"});
  ASSERT_EQ(groups.size(), 3U);
  for (std::size_t p = 0; p < 3; ++p) {
    EXPECT_EQ(groups[p].at("prompt_index"), p);
    ASSERT_EQ(groups[p].at("samples").size(), 3U);
    for (std::size_t s = 0; s < 3; ++s) {
      EXPECT_EQ(groups[p].at("samples").at(s).at("text"), rows[3 * p + s].at("text"));
      EXPECT_EQ(groups[p].at("samples").at(s).count("prompt"), 0U);
    }
  }
  EXPECT_EQ(groups[0].at("record").at("id"), 7);
  const Json joined = exported({"--group", "--join", "--fields", "text"}).at(0);
  EXPECT_EQ(joined.at("id"), 7);
  EXPECT_EQ(joined.at("samples").at(2), (Json{{"text", rows[2].at("text")}}));
}

TEST(ExportGroup, DoesNotLoseAFieldThatIsCalledSamples) {
  cli().folder().write("s.jsonl", "{\"prompt\": \"Ben\", \"samples\": [1]}\n");
  ASSERT_EQ(cli().generate({"--prompts", "s.jsonl"}).exit_code, 0);
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5", "--group", "--join"}), 65,
                         {"prompt 0", "'samples'"}));
  EXPECT_EQ(exported({"--group"}).at(0).at("record").at("samples"), Json({1}));
}

TEST(ExportGroup, HasTheConversationOnce) {
  ASSERT_NO_FATAL_FAILURE(generate_chats({"--samples-per-prompt", "2"}));
  const Json group = exported({"--group", "--messages"}).at(0);
  EXPECT_EQ(group.at("messages").size(), 1U);
  EXPECT_EQ(group.at("samples").size(), 2U);
  EXPECT_EQ(group.at("samples").at(0).count("text"), 1U);
}

TEST(ExportBest, AreTheLikeliestSamplesOfAPrompt) {
  generate_samples();
  std::map<int, std::vector<std::pair<double, int>>> judged;
  for (const Json& row :
       exported({"--only", "done", "--fields", "index,prompt_index,sum_logprob"})) {
    judged[row.at("prompt_index").get<int>()].emplace_back(-row.at("sum_logprob").get<double>(),
                                                           row.at("index").get<int>());
  }
  std::vector<int> expected;
  for (auto& [prompt, rows] : judged) {
    std::sort(rows.begin(), rows.end());
    expected.push_back(rows[0].second);
    expected.push_back(rows[1].second);
  }
  std::vector<int> found;
  for (const Json& row : exported({"--best", "2", "--by", "logprob", "--fields", "index"})) {
    found.push_back(row.at("index").get<int>());
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(exported({"--best", "1", "--by", "mean-logprob"}).size(), 2U);
  EXPECT_EQ(exported({"--best", "9", "--group"}).at(0).at("samples").size(), 3U);
}

TEST(ExportBest, NeedsLogprobs) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5", "--best", "1"}), 64, {"--logprobs"}));
}

TEST(ExportOptions, ThatContradictEachOtherAreBothNamed) {
  ASSERT_EQ(cli().generate({}).exit_code, 0);
  for (const auto& [options, first, second] :
       std::vector<std::tuple<Words, std::string, std::string>>{
           {{"--format", "text", "--fields", "text"}, "--format text", "--fields"},
           {{"--format", "text", "--join"}, "--format text", "--join"},
           {{"--format", "text", "--messages"}, "--format text", "--messages"},
           {{"--format", "text", "--group"}, "--format text", "--group"},
           {{"--format", "h5", "--group", "-o", "x.h5"}, "--format h5", "--group"},
           {{"--format", "h5", "-o", "x.h5.gz"}, "--format h5", "packed"},
           {{"--format", "h5"}, "--format h5", "--output"},
           {{"--best", "1", "--only", "failed"}, "--best", "--only failed"},
           {{"--by", "logprob"}, "--by", "--best"},
           {{"--by", "length", "--best", "1"}, "--by", "mean-logprob"}}) {
    Words arguments = {"export", "out.h5"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    EXPECT_TRUE(fails_with(cli().run(arguments), 64, {first, second}));
  }
}

TEST(ExportPacked, IsPackedAsItsNameSays) {
  generate_samples();
  const std::string plain = output_of({"export", "out.h5"});
  for (const auto& [name, command] : std::vector<std::pair<std::string, std::string>>{
           {"rows.jsonl.gz", "gzip -dc"}, {"rows.jsonl.zst", "zstd -dcq"}}) {
    output_of({"export", "out.h5", "-o", name});
    const ProgramResult unpacked =
        test::run_program({"sh", "-c", command + " " + name}, cli().folder().path());
    EXPECT_EQ(unpacked.exit_code, 0) << unpacked.err;
    EXPECT_EQ(unpacked.out, plain) << name;
    const std::string bytes = slurp(cli().file(name));
    output_of({"export", "out.h5", "-o", name});
    EXPECT_EQ(slurp(cli().file(name)), bytes) << "the same bytes again";
  }
}

TEST(ExportTable, HasAColumnForEveryField) {
  generate_samples();
  output_of({"export", "out.h5", "--format", "h5", "-o", "table.h5", "--only", "done"});
  const std::vector<Json> rows = exported({"--only", "done"});
  const h5::File table = h5::File::open(cli().file("table.h5"));
  EXPECT_EQ(table.read_text_attribute("/", "format"), "gridmill-export");
  const std::vector<std::string> texts = table.dataset("/text").read_texts();
  const auto counts = table.dataset("/completion_tokens").read_as<std::int64_t>();
  const auto ids = table.dataset("/record/id").read_as<std::int64_t>();
  const auto scores = table.dataset("/record/score").read_as<double>();
  const auto ok = table.dataset("/record/ok").read_as<std::uint8_t>();
  const std::vector<std::string> notes = table.dataset("/record/note").read_texts();
  const std::vector<std::string> tags = table.dataset("/record/tags").read_texts();
  ASSERT_EQ(texts.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(texts[i], rows[i].at("text"));
    EXPECT_EQ(counts[i], 6);
    EXPECT_EQ(ids[i], i < 3 ? 7 : 8);
    EXPECT_EQ(scores[i], i < 3 ? 1.5 : 2.0);
    EXPECT_EQ(ok[i], i < 3 ? 1 : 0);
    EXPECT_EQ(notes[i], i < 3 ? "" : "x\xEF\xBF\xBDy") << "texts of HDF5 have no 0 bytes";
    EXPECT_EQ(tags[i], i < 3 ? "[\"a\", 1]" : "");
  }
  EXPECT_EQ(table.read_text_attribute("/record/tags", "encoding"), "json");
}

TEST(ExportTable, OpensInPythonWithListsOfIds) {
  generate_samples();
  output_of({"export", "out.h5", "--format", "h5", "-o", "joined.h5", "--only", "done", "--join",
             "--fields", "tokens,logprobs,generated=text"});
  cli().folder().write(
      "look.py",
      "import h5py\n"
      "f = h5py.File('joined.h5')\n"
      "rows = h5py.File('out.h5')\n"
      "for i, r in enumerate([0, 1, 2, 6, 7, 8]):\n"
      "    n = rows['rows']['length'][r]\n"
      "    assert f['tokens'][i].tolist() == rows['tokens'][r, :n].tolist()\n"
      "    assert f['logprobs'][i].tolist() == rows['token_logprobs'][r, :n].tolist()\n"
      "print(sorted(f), f['generated'].asstr()[0] != '')\n");
  // Debian's h5py belongs to Debian's python3, which need not be the first one.
  const ProgramResult python = test::run_program(
      {"sh", "-c",
       "p=/usr/bin/python3; $p -c 'import h5py' 2> /dev/null || p=python3; exec $p look.py"},
      cli().folder().path());
  EXPECT_EQ(python.exit_code, 0) << python.err;
  EXPECT_EQ(python.out,
            "['generated', 'id', 'logprobs', 'note', 'ok', 'prompt', 'score', 'tags', 'tokens'] "
            "True\n");
}

TEST(ExportTable, ReplacesOnlyItsOwnKind) {
  generate_samples();
  output_of({"export", "out.h5", "--format", "h5", "-o", "again.h5"});
  const std::string bytes = slurp(cli().file("again.h5"));
  output_of({"export", "out.h5", "--format", "h5", "-o", "again.h5"});
  EXPECT_EQ(slurp(cli().file("again.h5")), bytes);
  EXPECT_EQ(cli().run({"export", "out.h5", "--format", "h5", "-o", "stories.h5"}).exit_code, 64);
  std::filesystem::copy_file(cli().file("stories.h5"), cli().file("model-copy.h5"),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(cli().run({"export", "out.h5", "--format", "h5", "-o", "model-copy.h5"}).exit_code, 73);
}

TEST(ExportTable, RefusesARecordWhoseFieldsCannotBeNames) {
  cli().folder().write("slash.jsonl", "{\"prompt\": \"Ben\", \"a/b\": 1}\n");
  ASSERT_EQ(cli().generate({"--prompts", "slash.jsonl"}).exit_code, 0);
  EXPECT_TRUE(fails_with(cli().run({"export", "out.h5", "--format", "h5", "-o", "t.h5"}), 65,
                         {"'a/b'", "--fields"}));
  EXPECT_FALSE(std::filesystem::exists(cli().file("t.h5")));
}

}  // namespace
}  // namespace gridmill
