#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::testing {

/// A backend with one compute dtype. A binary is linked with one list of them: candidates.cpp those
/// that have to give the reference's bits, tests/emulation the cuda backend on its emulation.
struct Candidate {
  std::string name;  ///< reference, null, or a kernel target of cpu
  int threads = 1;
  DType dtype = DType::fp32;
};

/// reference, null device, every kernel target of cpu, and cpu with several threads; both dtypes.
[[nodiscard]] std::vector<Candidate> all_candidates();
/// Those that set the rules which the others follow: one a compute dtype, fp32 first.
[[nodiscard]] std::vector<Candidate> rule_candidates();
/// @throws ResourceError if this build or this machine lacks it.
[[nodiscard]] std::unique_ptr<Backend> make_candidate(const Candidate& candidate);
[[nodiscard]] std::string label(const Candidate& candidate);
/// The label, for the names of tests.
[[nodiscard]] std::string test_name(const ::testing::TestParamInfo<Candidate>& parameter);
void PrintTo(const Candidate& candidate, std::ostream* stream);

}  // namespace gridmill::testing
