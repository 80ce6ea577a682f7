#pragma once

#include <memory>
#include <string>

#include "gridmill/grid/mpi_handles.hpp"
#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill::job_detail {

/// Collective: rank 0 reads the prompt file once for its index, which everybody gets; then each
/// rank opens the file.
/// @throws on every rank the same: UsageError, MissingInputError, FormatError.
[[nodiscard]] std::unique_ptr<PromptSource> open_prompts(const Communicator& world,
                                                         const std::string& path,
                                                         const std::string& field);

}  // namespace gridmill::job_detail
