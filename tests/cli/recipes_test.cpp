// Every jobs/recipes/*.cfg runs by the commands in its own first lines, in a copy of the tree's
// layout; what they leave is what docs/recipes.md promises.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "gridmill/base/file.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/results/result_file.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill {
namespace {

namespace fs = std::filesystem;

/// Config files of first passes.
std::vector<std::string> recipes() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(GRIDMILL_SOURCE_DIR "/jobs/recipes")) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".cfg" && !stem.ends_with("-2")) names.push_back(stem);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> commands_of(const std::string& text) {
  const std::string indent = "#   ";
  std::vector<std::string> commands;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(indent, 0) == 0) commands.push_back(line.substr(indent.size()));
  }
  return commands;
}

/// The tree's layout with both models converted.
class Tree {
 public:
  Tree() {
    for (const char* name : {"jobs", "models"}) {
      fs::create_directory_symlink(fs::path(GRIDMILL_SOURCE_DIR) / name, folder_.file(name));
    }
    fs::create_directory(folder_.file("out"));
    fs::create_directory(folder_.file("bin"));
    fs::create_symlink(GRIDMILL_PROGRAM, folder_.file("bin/gridmill"));
    run("gridmill convert models/stories260K/stories260K.bin out/stories260K.h5 --tokenizer "
        "models/stories260K/tok512.bin");
    run("gridmill convert models/tiny-xlstm-shakespeare out/tiny-xlstm-shakespeare.h5");
  }
  /// As a user types it who has gridmill in the path.
  [[nodiscard]] test::ProgramResult shell(const std::string& command) const {
    return test::run_program({"sh", "-c", "PATH=\"$0:$PATH\"; " + command, folder_.file("bin")},
                             folder_.path());
  }
  void run(const std::string& command) const {
    const test::ProgramResult result = shell(command);
    ASSERT_EQ(result.exit_code, 0) << command << "\n" << result.err;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  test::TemporaryFolder folder_;
};

const Tree& tree() {
  static const Tree one;
  return one;
}

std::vector<Json> lines_of(const std::string& name) {
  const std::string unpack = name.ends_with(".gz")    ? "gzip -dc out/"
                             : name.ends_with(".zst") ? "zstd -dcq out/"
                                                      : "cat out/";
  const test::ProgramResult result = tree().shell(unpack + name);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<Json> values;
  std::istringstream lines(result.out);
  for (std::string line; std::getline(lines, line);) values.push_back(Json::parse(line));
  return values;
}

/// Runs the recipe's commands.
void cook(const std::string& recipe) {
  const std::string text = read_text_file(GRIDMILL_SOURCE_DIR "/jobs/recipes/" + recipe + ".cfg");
  const std::vector<std::string> commands = commands_of(text);
  ASSERT_GE(commands.size(), 2U) << "a run and an export";
  for (const std::string& command : commands) ASSERT_NO_FATAL_FAILURE(tree().run(command));
  const ResultFile file = ResultFile::open(tree().file("out/" + recipe + ".h5"));
  ASSERT_GT(file.layout().shape.rows, 0U);
  for (RowId row = 0; row < file.layout().shape.rows; ++row) {
    EXPECT_EQ(file.read_row(row).record.status, static_cast<std::uint16_t>(RowStatus::done)) << row;
  }
}

TEST(Recipes, AreTen) {
  EXPECT_EQ(recipes(), (std::vector<std::string>{"best-of-n", "cosmopedia", "evol-instruct",
                                                 "judge", "magpie", "openmath", "oss-instruct",
                                                 "self-instruct", "teacher", "translation"}));
}

TEST(Recipes, CosmopediaCarriesTheFieldsOfEachRecord) {
  cook("cosmopedia");
  const std::vector<Json> rows = lines_of("cosmopedia.jsonl.zst");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[1].at("audience"), "students");
  EXPECT_LE(rows[1].at("completion_tokens"), 40);
  EXPECT_NE(rows[1].at("text"), "");
}

TEST(Recipes, MagpieMakesPairsOfInstructionAndAnswer) {
  cook("magpie");
  const std::vector<Json> rows = lines_of("magpie.jsonl");
  ASSERT_EQ(rows.size(), 6U);
  for (const Json& row : rows) {
    ASSERT_EQ(row.at("messages").size(), 2U);
    EXPECT_EQ(row.at("messages").at(0).at("role"), "user");
    EXPECT_EQ(row.at("messages").at(1).at("role"), "assistant");
    EXPECT_EQ(row.at("messages").at(0).at("content").get<std::string>().find("\n\n"),
              std::string::npos);
  }
}

TEST(Recipes, SelfInstructStopsAtTheStopsOfTheRecord) {
  cook("self-instruct");
  for (const Json& row : lines_of("self-instruct.jsonl")) {
    EXPECT_EQ(row.at("tasks").size(), 3U);
    EXPECT_EQ(row.at("text").get<std::string>().find("\n\n"), std::string::npos);
    EXPECT_LT(row.at("mean_logprob"), 0);
  }
}

TEST(Recipes, EvolInstructCarriesTheParentThroughTwoPasses) {
  cook("evol-instruct");
  const std::vector<Json> rows = lines_of("evol-instruct.jsonl");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].at("instruction"), "Tell a story about a dog.");
  EXPECT_EQ(rows[0].at("method"), "harder");
  EXPECT_TRUE(rows[0].contains("text")) << "the new instruction";
  EXPECT_NE(rows[0].at("answer"), rows[0].at("text"));
}

TEST(Recipes, OpenMathGroupsTheSolutionsOfAProblem) {
  cook("openmath");
  const std::vector<Json> rows = lines_of("openmath.jsonl.gz");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].at("expected_answer"), "5");
  ASSERT_EQ(rows[0].at("samples").size(), 4U);
  for (const Json& sample : rows[0].at("samples")) {
    EXPECT_EQ(sample.at("text").get<std::string>().find("Problem:"), std::string::npos);
  }
}

TEST(Recipes, OssInstructKeepsTheSeed) {
  cook("oss-instruct");
  EXPECT_EQ(lines_of("oss-instruct.jsonl").at(1).at("lang"), "c");
}

TEST(Recipes, BestOfNKeepsOneAnswer) {
  cook("best-of-n");
  const std::vector<Json> rows = lines_of("best-of-n.jsonl");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].at("id"), 2);
  EXPECT_EQ(rows[1].at("messages").size(), 2U);
  tree().run(
      "gridmill export out/best-of-n.h5 --fields prompt_index,mean_logprob -o out/all.jsonl");
  for (const Json& row : lines_of("all.jsonl")) {
    EXPECT_LE(row.at("mean_logprob"),
              rows.at(row.at("prompt_index").get<std::size_t>()).at("mean_logprob"));
  }
}

TEST(Recipes, JudgeReadsWhatGroupWrites) {
  cook("judge");
  const Json row = lines_of("judge.jsonl").at(0);
  EXPECT_EQ(row.at("top_ids").back().size(), 5U);
  cook("best-of-n");
  tree().run(
      "gridmill export out/best-of-n.h5 --group --messages --fields text -o out/answers.jsonl");
  tree().run(
      "gridmill generate --config jobs/recipes/judge.cfg --prompts out/answers.jsonl --output "
      "out/judged.h5");
}

TEST(Recipes, TeacherHasTheLikeliestTokensOfEveryPosition) {
  cook("teacher");
  const ResultFile file = ResultFile::open(tree().file("out/teacher.h5"));
  const StoredRow row = file.read_row(0);
  EXPECT_EQ(row.top_ids.size(), row.tokens.size() * 20);
  EXPECT_NE(row.top_logprobs.at(20), 0) << "of the prompt, too";
  EXPECT_TRUE(fs::exists(tree().file("out/teacher-rows.h5")));
}

TEST(Recipes, TranslationCutsALongDocument) {
  cook("translation");
  const std::vector<Json> rows = lines_of("translation.jsonl");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].at("url"), "https://example.org/a");
  for (const Json& row : rows) EXPECT_LE(row.at("prompt_tokens"), 200);
}

}  // namespace
}  // namespace gridmill
