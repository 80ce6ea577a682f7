#pragma once

#include <memory>
#include <string>

#include "gridmill/grid/mpi_handles.hpp"
#include "gridmill/job/request_maker.hpp"
#include "gridmill/prompts/prompt_source.hpp"

namespace gridmill::job_detail {

/// Fields that are read in a file of prompts.
struct PromptFields {
  std::string prompt;      ///< --prompt-field
  std::string messages{};  ///< --messages-field, for PromptIndex::mentions_field
  std::string model{};     ///< the job's own: perhaps its tokenizer is that of a result file
};

/// Collective: rank 0 reads the prompt file once for its index, which everybody gets; then each
/// rank opens the file, which must be rank 0's or a copy of it.
/// @throws on every rank the same: UsageError, MissingInputError, FormatError (also for a copy that
/// differs).
[[nodiscard]] std::unique_ptr<PromptSource> open_prompts(const Communicator& world,
                                                         const std::string& path,
                                                         const PromptFields& fields);

/// Local, rank 0: warns of the first lines if they cannot be used. @throws FormatError if none can.
void check_first_prompts(const PromptSource& prompts, const RequestMaker& requests);

}  // namespace gridmill::job_detail
