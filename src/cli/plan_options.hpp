#pragma once

#include <cstdint>
#include <string>

#include "cli/options.hpp"

namespace gridmill::cli {

/// What `gridmill plan` takes beside the options of generate; 0 and empty = not given.
struct PlanOptions {
  int nodes = 0;
  int ranks_per_node = 0;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  bool here = false;
  std::uint64_t rows = 0;
  int prompt_tokens = 0;
  int new_tokens = 0;
  std::string dtype;
  std::string weights;
  std::string limits;
  bool calibrate = false;
  int top = 5;
  bool json = false;
};

[[nodiscard]] po::options_description plan_options(PlanOptions& plan);
/// @throws UsageError for values that contradict each other.
void check_plan_options(const PlanOptions& plan);

/// `arguments` without the options of plan itself and without the grid: what `gridmill generate`
/// takes.
[[nodiscard]] Arguments generate_arguments(const Arguments& arguments);

}  // namespace gridmill::cli
