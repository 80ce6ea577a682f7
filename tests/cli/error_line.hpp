#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/run_program/run_program.hpp"

namespace gridmill::test {

/// Whether the run left with `code` and told why in one line that has every one of `words`.
[[nodiscard]] testing::AssertionResult fails_with(const ProgramResult& result, int code,
                                                  const std::vector<std::string>& words);

/// Copies the first `share` of a file of the CLI tests' folder.
void cut_copy(const std::string& from, const std::string& to, double share);

}  // namespace gridmill::test
