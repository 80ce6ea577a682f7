#pragma once

#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/json.hpp"
#include "gridmill/results/result_file.hpp"
#include "support/run_program/run_program.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::test {

/// Runs the gridmill binary in a folder that holds both shipped models, converted once (stories.h5,
/// shakespeare.h5).
class CliFixture {
 public:
  CliFixture();

  using Arguments = std::vector<std::string>;
  /// `gridmill ARGUMENTS`, under mpirun for more than one rank.
  [[nodiscard]] ProgramResult run(const Arguments& arguments, int ranks = 1,
                                  const Arguments& environment = {}) const;
  /// `gridmill generate` of `prompts.txt` with stories.h5 into a fresh out.h5; later options win
  /// over these defaults.
  [[nodiscard]] ProgramResult generate(const Arguments& arguments, int ranks = 1) const;
  /// The same without removing out.h5 first.
  [[nodiscard]] ProgramResult generate_again(const Arguments& arguments, int ranks = 1) const;
  void remove_output() const;

  [[nodiscard]] ResultFile result() const { return ResultFile::open(file("out.h5")); }
  /// Tokens of row `row` of out.h5.
  [[nodiscard]] std::vector<TokenId> tokens(RowId row) const {
    return result().read_row(row).tokens;
  }
  /// Last record of out.h5.runs.jsonl.
  [[nodiscard]] Json last_run() const;
  /// Summary of a --metrics file.
  [[nodiscard]] Json metrics(const std::string& name) const;

  [[nodiscard]] const TemporaryFolder& folder() const { return folder_; }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

 private:
  TemporaryFolder folder_;
};

/// One for all tests of a binary.
[[nodiscard]] CliFixture& cli();

}  // namespace gridmill::test
