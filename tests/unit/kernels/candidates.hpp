#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "gridmill/kernels/backend.hpp"

namespace gridmill::testing {

/// A backend that has to give the reference's bits, with one compute dtype.
struct Candidate {
  std::string name;  ///< reference, null, or a kernel target of cpu
  int threads = 1;
  DType dtype = DType::fp32;
};

/// reference, null device, every kernel target of cpu, and cpu with several threads; both dtypes.
[[nodiscard]] std::vector<Candidate> all_candidates();
/// @throws ResourceError if this build or this machine lacks it.
[[nodiscard]] std::unique_ptr<Backend> make_candidate(const Candidate& candidate);
[[nodiscard]] std::string label(const Candidate& candidate);
/// The label, for the names of tests.
[[nodiscard]] std::string test_name(const ::testing::TestParamInfo<Candidate>& parameter);
void PrintTo(const Candidate& candidate, std::ostream* stream);

}  // namespace gridmill::testing
