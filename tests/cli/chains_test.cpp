// A result file is a prompt file of the next job; packed prompts.

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.hpp"
#include "cli/error_line.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;
using test::cli;
using test::fails_with;
using test::ProgramResult;
using test::slurp;
using Words = std::vector<std::string>;

std::vector<Json> exported(const Words& options = {}) {
  Words arguments = {"export", "out.h5"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  const ProgramResult result = cli().run(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<Json> values;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

/// first.h5: four rows, one failed; returns what export says of them.
std::vector<Json> first_job(const std::string& name = "first.h5") {
  for (const char* end : {"", ".lock", ".runs.jsonl"}) fs::remove(cli().file(name + end));
  cli().folder().write("seeds.jsonl",
                       "{\"prompt\": \"Ben had\", \"topic\": \"dogs\", \"sampling\": "
                       "{\"max_tokens\": 3}}\n"
                       "{\"prompt\": 5}\n");
  EXPECT_EQ(cli()
                .generate({"--prompts", "seeds.jsonl", "--samples-per-prompt", "2", "--temperature",
                           "1", "--max-new-tokens", "8", "--output", name})
                .exit_code,
            1);
  const ProgramResult result = cli().run({"export", name});
  std::vector<Json> values;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

TEST(Chain, RowsAreRecordsWithTheirFieldsAndThoseOfTheirPrompt) {
  const std::vector<Json> first = first_job();
  cli().folder().write("next.jinja", "{{ topic }}{{ sample_index }}{{ prompt }}{{ text }}");
  const ProgramResult made =
      cli().generate({"--prompts", "first.h5", "--template", "next.jinja", "--max-length", "60"});
  EXPECT_EQ(made.exit_code, 1) << made.err;
  const std::vector<Json> rows = exported();
  ASSERT_EQ(rows.size(), 4U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(rows[i].at("prompt"), std::string("dogs") + std::to_string(i) + "Ben had" +
                                        first[i].at("text").get<std::string>());
    EXPECT_EQ(rows[i].at("record").at("text"), first[i].at("text"));
    EXPECT_EQ(rows[i].at("record").at("messages").size(), 2U);
    EXPECT_EQ(rows[i].at("record").count("sampling"), 0U) << "options of the earlier job";
  }
  EXPECT_EQ(rows[2].at("failure"),
            "row 2 of the result file failed: line 2: field 'prompt' is a number, expected a "
            "string");
}

TEST(Chain, TheTextOfARowCanBeThePrompt) {
  const std::vector<Json> first = first_job();
  ASSERT_EQ(cli().generate({"--prompts", "first.h5", "--prompt-field", "text"}).exit_code, 1);
  EXPECT_EQ(exported().at(1).at("prompt"), first.at(1).at("text"));
}

TEST(Chain, IsTheSameOnEveryGridAndVerified) {
  first_job();
  const Words options = {"--prompts", "first.h5", "--prompt-field", "text"};
  ASSERT_EQ(cli().generate(options).exit_code, 1);
  const std::string one = slurp(cli().file("out.h5"));
  ASSERT_EQ(cli().generate(options, 2).exit_code, 1);
  EXPECT_EQ(slurp(cli().file("out.h5")), one);
  const ProgramResult verified =
      cli().run({"verify", "out.h5", "--model", "stories.h5", "--prompts", "first.h5", "--all"});
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
}

TEST(Chain, OfThreeJobs) {
  first_job();
  fs::remove(cli().file("second.h5"));
  ASSERT_EQ(cli()
                .generate({"--prompts", "first.h5", "--prompt-field", "text", "--output",
                           "second.h5", "--resume", "never"})
                .exit_code,
            1);
  cli().folder().write("third.jinja", "{{ topic }}: {{ text }}");
  ASSERT_EQ(cli().generate({"--prompts", "second.h5", "--template", "third.jinja"}).exit_code, 1);
  EXPECT_EQ(exported().at(0).at("prompt").get<std::string>().rfind("dogs: ", 0), 0U);
  for (const char* end : {"", ".lock", ".runs.jsonl"})
    fs::remove(cli().file(std::string("second.h5") + end));
}

TEST(Chain, NeedsThePromptsOfTheEarlierJob) {
  first_job();
  fs::rename(cli().file("seeds.jsonl"), cli().file("elsewhere.jsonl"));
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", "first.h5"}), 66, {"seeds.jsonl"}));
  cli().folder().write("seeds.jsonl", "{\"prompt\": \"another\"}\n");
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", "first.h5"}), 65, {"seeds.jsonl"}));
}

TEST(Chain, AllRowsHaveToBeFinished) {
  first_job();
  const std::string whole = slurp(cli().file("first.h5"));
  // Row 1 is emptied.
  const ResultFile file = ResultFile::open(cli().file("first.h5"));
  std::string damaged = whole;
  damaged.replace(file.layout().record_at(1), 32, std::string(32, '\0'));
  cli().folder().write("first.h5", damaged);
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", "first.h5"}), 65,
                         {"first.h5", "1 rows that are not finished"}));
}

class PackedJob : public ::testing::TestWithParam<std::string> {
 protected:
  /// Packs FILE by the system's program; returns the archive's name.
  [[nodiscard]] std::string pack(const std::string& name) const {
    const std::string command = GetParam() == "gz" ? "gzip -kf " + name : "zstd -kfq " + name;
    const ProgramResult result = test::run_program({"sh", "-c", command}, cli().folder().path());
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return name + "." + GetParam();
  }
};

TEST_P(PackedJob, GivesTheRowsOfThePlainFileOnEveryGrid) {
  cli().folder().write("p.jsonl",
                       "\xEF\xBB\xBF{\"prompt\": \"Ben\"}\r\n\r\n{\"prompt\": \"The cat\"}\n\n");
  ASSERT_EQ(cli().generate({"--prompts", "p.jsonl"}).exit_code, 1);
  const std::vector<Json> plain = exported();
  const std::string archive = pack("p.jsonl");
  ASSERT_EQ(cli().generate({"--prompts", archive}).exit_code, 1);
  EXPECT_EQ(exported(), plain);
  const std::string one = slurp(cli().file("out.h5"));
  ASSERT_EQ(cli().generate({"--prompts", archive}, 2).exit_code, 1);
  EXPECT_EQ(slurp(cli().file("out.h5")), one);
  EXPECT_EQ(cli()
                .run({"verify", "out.h5", "--model", "stories.h5", "--prompts", archive, "--all"})
                .exit_code,
            0);
  const ProgramResult resumed = cli().generate_again({"--prompts", archive});
  EXPECT_EQ(resumed.exit_code, 1) << resumed.err;
  EXPECT_EQ(slurp(cli().file("out.h5")), one);
}

TEST_P(PackedJob, ThatIsCutShortIsRefusedBeforeAnythingIsMade) {
  cli().folder().write("q.jsonl", "{\"prompt\": \"Ben\"}\n{\"prompt\": \"The cat\"}\n");
  const std::string archive = pack("q.jsonl");
  const std::string bytes = slurp(cli().file(archive));
  cli().folder().write(archive, bytes.substr(0, bytes.size() - 3));
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", archive}), 65, {archive, "cut short"}));
  cli().folder().write(archive, slurp(cli().file("q.jsonl")));
  EXPECT_TRUE(fails_with(cli().generate({"--prompts", archive}), 65, {archive, "damaged, or no"}));
  EXPECT_FALSE(fs::exists(cli().file("out.h5")));
}

TEST_P(PackedJob, OfMessagesUsesTheChatTemplate) {
  cli().folder().write("chat.jinja", "{% for m in messages %}{{ m.content }}{% endfor %}");
  cli().folder().write("m.jsonl",
                       "{\"messages\": [{\"role\": \"user\", \"content\": \"Ben had\"}]}\n");
  const std::string archive = pack("m.jsonl");
  ASSERT_EQ(cli().generate({"--prompts", archive, "--chat-template", "chat.jinja"}).exit_code, 0);
  EXPECT_EQ(exported().at(0).at("prompt"), "Ben had");
}

INSTANTIATE_TEST_SUITE_P(Kinds, PackedJob, ::testing::Values("gz", "zst"),
                         [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace gridmill
