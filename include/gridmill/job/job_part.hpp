#pragma once

#include <cstdint>
#include <string>

#include "gridmill/job/lease_queue.hpp"

namespace gridmill {

/// One of `of` consecutive ranges of a job's prompts. A run may be restricted to it; no row depends
/// on it, so it is no part of a job's identity.
struct JobPart {
  std::uint64_t number = 1;  ///< 1 to `of`
  std::uint64_t of = 1;

  friend bool operator==(const JobPart&, const JobPart&) = default;
};

/// "2/8" as JobPart. @throws UsageError that names --part.
[[nodiscard]] JobPart job_part_from_text(const std::string& text);
/// "2/8".
[[nodiscard]] std::string to_text(const JobPart& part);

/// All rows of the part's prompts. The parts of a job hold each row once, in order; numbers of
/// prompts differ by one at most, and are 0 for the last parts if there are more parts than
/// prompts.
/// @param rows              of the whole job, a multiple of `samples_per_prompt`.
/// @param samples_per_prompt  at least 1.
[[nodiscard]] RowRange rows_of_part(const JobPart& part, std::uint64_t rows,
                                    std::uint64_t samples_per_prompt);

}  // namespace gridmill
