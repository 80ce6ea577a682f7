#include "cli/cli_fixture.hpp"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include "gridmill/results/run_log.hpp"

namespace gridmill::test {

CliFixture::CliFixture() {
  const std::string models = GRIDMILL_MODELS_DIR;
  const std::vector<Arguments> conversions = {
      {"convert", models + "/stories260K/stories260K.bin", "stories.h5", "--tokenizer",
       models + "/stories260K/tok512.bin"},
      {"convert", models + "/tiny-xlstm-shakespeare", "shakespeare.h5"}};
  for (const Arguments& conversion : conversions) {
    const ProgramResult result = run(conversion);
    if (result.exit_code != 0) throw std::runtime_error("convert failed: " + result.err);
  }
  folder_.write("prompts.txt", "Once upon a time\n\nThe cat\nTim had a red ball. He\n");
}

ProgramResult CliFixture::run(const Arguments& arguments, int ranks,
                              const Arguments& environment) const {
  Arguments command = {GRIDMILL_PROGRAM};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(under_mpirun(ranks, command), folder_.path(), environment);
}

ProgramResult CliFixture::generate(const Arguments& arguments, int ranks) const {
  remove_output();
  return generate_again(arguments, ranks);
}

ProgramResult CliFixture::generate_again(const Arguments& arguments, int ranks) const {
  Arguments command = {"generate"};
  const auto add_default = [&](const std::string& name, const std::string& value) {
    const bool given = std::any_of(arguments.begin(), arguments.end(), [&](const auto& word) {
      return word == name || word.rfind(name + "=", 0) == 0;
    });
    if (!given) command.insert(command.end(), {name, value});
  };
  add_default("--model", "stories.h5");
  add_default("--prompts", "prompts.txt");
  add_default("--output", "out.h5");
  add_default("--max-length", "24");
  add_default("--temperature", "0");
  add_default("--threads", "1");
  add_default("--progress", "none");
  add_default("--log-level", "warn");
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command, ranks);
}

void CliFixture::remove_output() const {
  for (const char* name : {"out.h5", "out.h5.lock", "out.h5.runs.jsonl"}) {
    std::filesystem::remove(folder_.path() / name);
  }
}

Json CliFixture::last_run() const { return gridmill::last_run(file("out.h5")).value(); }

Json CliFixture::metrics(const std::string& name) const {
  std::istringstream lines(slurp(folder_.path() / name));
  std::string line;
  std::string last;
  while (std::getline(lines, line)) last = line;
  return Json::parse(last);
}

CliFixture& cli() {
  static CliFixture fixture;
  return fixture;
}

}  // namespace gridmill::test
