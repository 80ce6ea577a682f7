#pragma once

#include <string>

#include "cli/options.hpp"
#include "gridmill/prompts/prompt_options.hpp"

namespace gridmill::cli {

/// The options of the one table, `prompt-field` among them.
[[nodiscard]] po::options_description prompt_options(PromptOptions& options,
                                                     std::string& prompt_field);

/// For a command that does not cut prompts. @throws UsageError if it is told to.
void refuse_cut_options(const PromptOptions& options, const std::string& command);

}  // namespace gridmill::cli
